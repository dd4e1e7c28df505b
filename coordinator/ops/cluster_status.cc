#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "coordinator/ops/ops.h"

namespace shoal::ops {
namespace {

constexpr size_t kMaxSetBytes = size_t{4} << 20;  // Of all workers; the rest has room beside them.

std::array<int, 3> CountHolders(Cluster& cluster) {
  std::array<int, 3> counts = {};
  const ClusterState& state = cluster.state();
  if (!state.model().has_value()) return counts;
  std::vector<const ExpertSet*> held;
  for (const auto& [id, node] : state.nodes()) {
    const LiveNodes::Report* report = cluster.live().Find(id);
    if (node.revoked || report == nullptr) continue;
    const Presence presence = cluster.live().PresenceOf(id, cluster.clock().Now());
    if (presence == Presence::kPresent) held.push_back(&report->resident);
  }
  const ExpertBytes& expert_bytes = cluster.keeper().expert_bytes();
  for (size_t layer = 0; layer < expert_bytes.size(); ++layer) {
    for (size_t expert = 0; expert < expert_bytes[layer].size(); ++expert) {
      const auto n = std::count_if(held.begin(), held.end(), [&](const ExpertSet* set) {
        return set->Contains(static_cast<int>(layer), static_cast<int>(expert));
      });
      ++counts[static_cast<size_t>(std::min<int64_t>(n, 2))];
    }
  }
  return counts;
}

}  // namespace

wire::ClusterStatus DescribeCluster(Cluster& cluster) {
  wire::ClusterStatus status;
  ListNodes(cluster, status.mutable_cluster()).IgnoreError();  // It has nothing to refuse.
  const ClusterState& state = cluster.state();
  status.set_placement(cluster.keeper().text());
  if (state.model().has_value()) {
    status.set_n_layers(static_cast<uint32_t>(state.model()->n_layers));
    status.set_n_experts(static_cast<uint32_t>(state.model()->n_experts));
  }
  size_t set_bytes = 0;
  for (wire::NodeInfo& info : *status.mutable_cluster()->mutable_nodes()) {
    wire::ClusterStatus::Node& node = *status.add_nodes();
    const ClusterNode* known = state.FindNode(info.node_id());
    const std::string assigned = known->assigned.Bytes();
    if ((set_bytes += assigned.size()) <= kMaxSetBytes) node.set_assigned(assigned);
    const LiveNodes::Report* report = cluster.live().Find(info.node_id());
    if (report != nullptr && report->load.has_value()) ToWire(*report->load, node.mutable_load());
    node.mutable_info()->Swap(&info);
  }
  status.mutable_cluster()->clear_nodes();
  for (const int n : CountHolders(cluster)) {
    status.add_experts_by_holders(static_cast<uint32_t>(n));
  }
  return status;
}

}  // namespace shoal::ops
