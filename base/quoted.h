#pragma once

#include <string>
#include <string_view>

namespace shoal {

// Text of unknown origin made fit for an error message: quoted, cut to 64 bytes, everything but
// printable ASCII escaped.
std::string Quoted(std::string_view text);

}  // namespace shoal
