#pragma once

#include "base/metrics.h"
#include "router/dispatch/remote_experts.h"

namespace shoal {

// What a router's calls to workers cost, in all and by worker.
void AddDispatchMetrics(const RemoteExperts& experts, Metrics* metrics);

}  // namespace shoal
