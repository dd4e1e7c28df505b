#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"

namespace shoal {

// Typed access to one field of a request. Each gives InvalidArgument that names the field, what
// stands there and what may.

absl::StatusOr<bool> ReadBool(std::string_view field, const nlohmann::ordered_json& value);
absl::StatusOr<std::string> ReadString(std::string_view field, const nlohmann::ordered_json& value);
// A whole number in [min, max].
absl::StatusOr<int64_t> ReadInt(std::string_view field, const nlohmann::ordered_json& value,
                                int64_t min, int64_t max);
// A finite number in [min, max].
absl::StatusOr<double> ReadNumber(std::string_view field, const nlohmann::ordered_json& value,
                                  double min, double max);

absl::Status CheckObject(std::string_view field, const nlohmann::ordered_json& value);
// An array of at most `max_size` elements.
absl::Status CheckArray(std::string_view field, const nlohmann::ordered_json& value,
                        size_t max_size);

// "messages" and 3 to "messages[3]".
std::string ElementName(std::string_view field, size_t index);

}  // namespace shoal
