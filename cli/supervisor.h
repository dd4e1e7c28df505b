#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "cli/serve.h"

namespace shoal {

struct SupervisorOptions {
  ServeOptions serve;
  int n_workers = 3;
  std::string data_dir;  // Nothing is kept there yet.
};

// Starts workers and a router as processes of their own and watches them until SIGINT or SIGTERM,
// which reach the router first and then the workers. When a process ends by itself, ends the others
// and says which it was: Unavailable. `on_ready` as of Serve.
absl::Status Supervise(
    const SupervisorOptions& options,
    absl::FunctionRef<void(const std::string& url, const std::string& model)> on_ready);

}  // namespace shoal
