#pragma once

#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"

namespace shoal {

// Checks a request's "messages" and gives them as a template expects them: known roles, contents
// as plain strings (text parts joined), nulls left out, "developer" as "system".
absl::StatusOr<nlohmann::ordered_json> ReadMessages(const nlohmann::ordered_json& messages);

// Checks a request's "tools": functions with a name. They go to the template as they are.
absl::Status CheckTools(const nlohmann::ordered_json& tools);

}  // namespace shoal
