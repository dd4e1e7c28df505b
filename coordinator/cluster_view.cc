#include "coordinator/cluster_view.h"

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/certificate.h"
#include "coordinator/ops/ops.h"

namespace shoal {
namespace {

std::string_view RoleOf(const wire::NodeInfo& node) {
  return node.role() == wire::ROLE_WORKER ? "worker" : "router";
}

void AddNodeMetrics(const wire::NodeInfo& node, Metrics* metrics) {
  const std::string& id = node.node_id();
  const auto add = [&](std::string_view name, auto value, MetricLabels labels) {
    metrics->Add(name, static_cast<double>(value), std::move(labels));
  };
  const std::string role(RoleOf(node));
  add("shoal_coordinator_node_last_seen_seconds", static_cast<double>(node.last_seen_ms()) * 1e-3,
      {{"node", id}, {"role", role}});
  add("shoal_coordinator_node_certificate_left_seconds", node.certificate_left_s(),
      {{"node", id}, {"role", role}});
  if (node.role() != wire::ROLE_WORKER) return;
  add("shoal_coordinator_node_assigned_experts", node.n_assigned(), {{"node", id}});
  add("shoal_coordinator_node_resident_experts", node.n_resident(), {{"node", id}});
  add("shoal_coordinator_node_memory_bytes", node.memory_bytes(), {{"node", id}});
  add("shoal_coordinator_node_read_bytes_per_second", node.read_gb_per_s() * 1e9, {{"node", id}});
  add("shoal_coordinator_node_round_trip_seconds", static_cast<double>(node.round_trip_us()) * 1e-6,
      {{"node", id}});
}

// Every state, also those that no node is in: what is not there cannot be alerted on.
void AddNodeCounts(const wire::ClusterStatus& status, Metrics* metrics) {
  std::map<std::pair<std::string_view, std::string>, int> counts;
  for (const std::string_view role : {"router", "worker"}) {
    for (const char* state : {"active", "unheard", "missing", "draining", "lost", "revoked"}) {
      counts[{role, state}] = 0;
    }
  }
  for (const wire::ClusterStatus::Node& node : status.nodes()) {
    ++counts[{RoleOf(node.info()), node.info().state()}];
  }
  for (const auto& [key, n] : counts) {
    metrics->Add("shoal_coordinator_nodes", n,
                 {{"role", std::string(key.first)}, {"state", key.second}});
  }
}

}  // namespace

ClusterView ViewOf(Cluster& cluster) {
  ClusterView view;
  view.status = ops::DescribeCluster(cluster);
  const absl::Time now = cluster.clock().WallNow();
  const std::shared_ptr<const Snapshot> snapshot = cluster.snapshot();
  view.snapshot_age = now - snapshot->issued;
  view.n_members = static_cast<int>(snapshot->members.size());
  for (const auto& [id, token] : cluster.state().tokens()) {
    if (token.uses_left > 0 && now < token.expiry) ++view.n_tokens;
  }
  const auto ca = ReadCertificate(cluster.authority().certificate());
  if (ca.ok()) view.ca_left = ca->not_after - now;
  return view;
}

void ClusterView::AddMetrics(Metrics* metrics) const {
  const auto add = [metrics](std::string_view name, auto value, MetricLabels labels = {}) {
    metrics->Add(name, static_cast<double>(value), std::move(labels));
  };
  add("shoal_coordinator_epoch", status.cluster().epoch());
  add("shoal_coordinator_snapshot_age_seconds", absl::ToDoubleSeconds(snapshot_age));
  add("shoal_coordinator_members", n_members);
  add("shoal_coordinator_replicas", status.cluster().replicas());
  add("shoal_coordinator_settled", status.cluster().settled());
  constexpr const char* kHolders[] = {"0", "1", "2+"};
  for (int i = 0; i < status.experts_by_holders_size(); ++i) {
    add("shoal_coordinator_experts", status.experts_by_holders(i), {{"holders", kHolders[i]}});
  }
  constexpr std::string_view kLeft = "shoal_coordinator_certificate_left_seconds";
  add(kLeft, absl::ToDoubleSeconds(ca_left), {{"certificate", "ca"}});
  add(kLeft, absl::ToDoubleSeconds(certificate_left), {{"certificate", "coordinator"}});
  for (const RequestCount& count : requests) {
    const std::string operation(count.operation);
    add("shoal_coordinator_requests_total", count.asked, {{"operation", operation}});
    add("shoal_coordinator_refused_requests_total", count.refused, {{"operation", operation}});
  }
  add("shoal_coordinator_snapshots_sent_total", snapshots_sent);
  add("shoal_coordinator_links", n_links);
  add("shoal_coordinator_join_tokens", n_tokens);
  AddNodeCounts(status, metrics);
  for (const wire::ClusterStatus::Node& node : status.nodes()) {
    if (node.info().state() != "revoked") AddNodeMetrics(node.info(), metrics);
  }
}

}  // namespace shoal
