#pragma once

#include "absl/status/status.h"
#include "cli/node.h"
#include "cli/serve.h"

namespace shoal {

struct RouterProcessOptions {
  NodeOptions node;
  ServeOptions serve;  // Its model_path is not used: the cluster says which model.
  int spin_us = 0;
};

// A router of a cluster: joins, fetches everything of the model but its experts, and answers
// requests by the workers that the coordinator's snapshots name. Starts without a coordinator from
// what is on its disk (F16). When the cluster's model changes it goes on with the new one, once
// running answers have ended, or failed as the workers let go of the old one. Until SIGINT, or
// SIGTERM, which lets running answers end.
absl::Status RunRouterProcess(const RouterProcessOptions& options);

}  // namespace shoal
