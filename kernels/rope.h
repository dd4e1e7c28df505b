#pragma once

#include <cstdint>

namespace shoal {

// 1 + scale * ln(1 + floor((position + 1) / floor)): what queries of layers without rope are
// multiplied by. In double with our own logarithm, rounded once to f32. floor >= 1.
float AttentionTemperature(int64_t position, int floor, float scale);

}  // namespace shoal
