#include <algorithm>
#include <string>

#include "coordinator/ops/ops.h"

namespace shoal::ops {
namespace {

std::string StateOf(const ClusterNode& node, Presence presence) {
  if (node.revoked) return "revoked";
  if (presence >= Presence::kLost) return "lost";
  if (node.draining) return "draining";
  if (presence == Presence::kMissing) return "missing";
  return presence == Presence::kUnheard ? "unheard" : "active";
}

// 256 members and as many revoked nodes have to fit one frame's header.
std::string Shortened(const std::string& address) {
  constexpr size_t kMaxShown = 80;
  if (address.size() <= kMaxShown) return address;
  return address.substr(0, kMaxShown - 3) + "...";
}

uint64_t AtLeastZero(int64_t value) { return static_cast<uint64_t>(std::max<int64_t>(value, 0)); }

void Describe(Cluster& cluster, const ClusterNode& node, wire::NodeInfo* info) {
  const std::string& id = node.identity.node_id;
  const absl::Time now = cluster.clock().Now();
  info->set_node_id(id);
  info->set_role(node.identity.role == NodeRole::kWorker ? wire::ROLE_WORKER : wire::ROLE_ROUTER);
  if (!node.revoked) info->set_peer_address(Shortened(node.peer_address));
  info->set_state(StateOf(node, cluster.live().PresenceOf(id, now)));
  info->set_last_seen_ms(
      AtLeastZero(absl::ToInt64Milliseconds(cluster.live().SinceHeard(id, now))));
  info->set_n_assigned(static_cast<uint32_t>(node.assigned.size()));
  info->set_round_trip_us(
      AtLeastZero(absl::ToInt64Microseconds(cluster.live().RoundTrip(id, now))));
  info->set_certificate_left_s(
      AtLeastZero(absl::ToInt64Seconds(node.certificate_expiry - cluster.clock().WallNow())));
  if (const LiveNodes::Report* report = cluster.live().Find(id); report != nullptr) {
    info->set_memory_bytes(report->memory_bytes);
    info->set_read_gb_per_s(report->read_gb_per_s);
    info->set_n_resident(static_cast<uint32_t>(report->resident.size()));
  }
}

}  // namespace

absl::Status ListNodes(Cluster& cluster, wire::ListNodesReply* reply) {
  const ClusterState& state = cluster.state();
  reply->set_cluster_id(cluster.authority().cluster_id());
  reply->set_epoch(state.epoch());
  reply->set_replicas(static_cast<uint32_t>(state.replicas()));
  reply->set_settled(cluster.keeper().settled());
  if (state.model().has_value()) {
    reply->set_model_id(DigestBytes(state.model()->id));
    reply->set_model_name(state.model()->name);
  }
  int n_revoked = 0;
  for (const auto& [id, node] : state.nodes()) {
    // The reply stays within one frame whatever was revoked over the years.
    if (node.revoked && ++n_revoked > kMaxMembers) continue;
    Describe(cluster, node, reply->add_nodes());
  }
  return absl::OkStatus();
}

}  // namespace shoal::ops
