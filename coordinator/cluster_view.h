#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "base/metrics.h"
#include "coordinator/cluster.h"
#include "proto/frame_codec.h"

namespace shoal {

// Requests of one kind so far.
struct RequestCount {
  std::string_view operation;
  uint64_t asked = 0;
  uint64_t refused = 0;
};

// What a coordinator shows of its cluster: a value, made on its thread, for whoever asks on others.
struct ClusterView {
  wire::ClusterStatus status;
  absl::Duration snapshot_age;
  int n_members = 0;
  int n_tokens = 0;  // That still let somebody join.
  absl::Duration ca_left;
  absl::Duration certificate_left;  // The coordinator's own.
  std::vector<RequestCount> requests;
  uint64_t snapshots_sent = 0;
  int n_links = 0;

  void AddMetrics(Metrics* metrics) const;
};

// All that the cluster itself knows; the rest is its caller's.
ClusterView ViewOf(Cluster& cluster);

}  // namespace shoal
