#pragma once

#include <string>

#include "absl/status/status.h"
#include "cli/serve.h"

namespace shoal {

struct SupervisorOptions {
  ServeOptions serve;
  int n_workers = 3;
  int replicas = 1;      // Workers that hold each expert.
  std::string data_dir;  // Of the coordinator; nodes have folders in it.
};

// Imports the model if it is a file and that has not been done, starts a coordinator, workers and a
// router as processes of their own, and keeps them running until SIGINT or SIGTERM, which reach the
// router first and then the others. `on_ready` as of Serve.
absl::Status Supervise(const SupervisorOptions& options, OnReady on_ready);

}  // namespace shoal
