#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace shoal {

// The body of a GET of `path` at `url`, http://HOST:PORT. InvalidArgument when it is not;
// Unavailable when nobody answers within 10 s; Unknown, with the status, for anything but 200.
absl::StatusOr<std::string> HttpGet(const std::string& url, const std::string& path);

}  // namespace shoal
