#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "cli/serve.h"

namespace shoal {

struct SupervisorOptions {
  ServeOptions serve;
  int n_workers = 3;
  int replicas = 1;      // Workers that hold each expert.
  std::string data_dir;  // Nothing is kept there yet.
};

// Starts workers and a router as processes of their own and watches them until SIGINT or SIGTERM,
// which reach the router first and then the workers. A worker that ends by itself is started again;
// when the router does, the others are ended too: Unavailable. `on_ready` as of Serve.
absl::Status Supervise(
    const SupervisorOptions& options,
    absl::FunctionRef<void(const std::string& url, const std::string& model)> on_ready);

}  // namespace shoal
