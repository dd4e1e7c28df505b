#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"

namespace shoal {

// Reads one JSON text from a client. InvalidArgument, with the byte offset where there is one, for
// what is not JSON or not UTF-8, for nesting deeper than kMaxJsonDepth, for a key that stands twice
// in one object, and for more than kMaxJsonContainers objects and arrays.
absl::StatusOr<nlohmann::ordered_json> ParseRequestJson(std::string_view text);

}  // namespace shoal
