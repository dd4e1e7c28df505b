#pragma once

#include <string_view>

namespace shoal {

// True for keys of a config.json that say how a model was trained, made, stored or is to be sampled
// from: no answer to a given prompt depends on them.
bool IsHarmlessKey(std::string_view key);

}  // namespace shoal
