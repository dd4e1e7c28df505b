#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "coordinator/ops/ops.h"
#include "proto/snapshot.h"

namespace shoal::ops {
namespace {

constexpr double kMaxGbPerS = 1e6;
constexpr uint64_t kMaxMemoryBytes = uint64_t{1} << 50;
constexpr uint64_t kMaxRoundTripUs = 60'000'000;

absl::Status OutOfRange(std::string_view field, double value, double max) {
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(field), "=", value, " is not in [0, ", max, "]"));
}

absl::Status CheckNumbers(const wire::ReportStatusRequest& request) {
  if (request.memory_bytes() > kMaxMemoryBytes) {
    return OutOfRange("memory_bytes", static_cast<double>(request.memory_bytes()),
                      static_cast<double>(kMaxMemoryBytes));
  }
  if (!(request.read_gb_per_s() >= 0 && request.read_gb_per_s() <= kMaxGbPerS)) {
    return OutOfRange("read_gb_per_s", request.read_gb_per_s(), kMaxGbPerS);
  }
  if (request.peers_size() > kMaxMembers) {
    return OutOfRange("peers", request.peers_size(), kMaxMembers);
  }
  return absl::OkStatus();
}

absl::StatusOr<LiveNodes::Report> Read(const Cluster& cluster,
                                       const wire::ReportStatusRequest& request) {
  SHOAL_RETURN_IF_ERROR(CheckNumbers(request));
  LiveNodes::Report report{.epoch = request.epoch(),
                           .memory_bytes = request.memory_bytes(),
                           .read_gb_per_s = request.read_gb_per_s(),
                           .resident = {},
                           .draining = request.draining(),
                           .peers = {},
                           .load = {}};
  if (request.has_load()) {
    SHOAL_ASSIGN_OR_RETURN(report.load, FromWire(request.load()));
  }
  const auto& model = cluster.state().model();
  // What it holds of a model that was served before counts for nothing.
  if (model.has_value() && request.model_id() == DigestBytes(model->id)) {
    SHOAL_ASSIGN_OR_RETURN(
        report.resident,
        ExpertSet::FromBytes(request.resident(), model->n_layers, model->n_experts));
  }
  for (const wire::PeerObservation& peer : request.peers()) {
    if (cluster.state().FindNode(peer.node_id()) == nullptr) continue;  // Revoked and forgotten.
    const uint64_t us = std::min(peer.round_trip_us(), kMaxRoundTripUs);
    report.peers[peer.node_id()] = {peer.reachable(), absl::Microseconds(static_cast<int64_t>(us))};
  }
  return report;
}

}  // namespace

absl::Status ReportStatus(Cluster& cluster, const NodeIdentity& caller, LinkId link,
                          const wire::ReportStatusRequest& request) {
  SHOAL_ASSIGN_OR_RETURN(LiveNodes::Report report, Read(cluster, request));
  if (caller.role == NodeRole::kWorker) {
    report.peers.clear();  // Only a router's view of workers counts.
    report.load.reset();
    if (!IsHostPort(request.peer_address())) {
      return absl::InvalidArgumentError(absl::StrCat("peer_address ",
                                                     Quoted(request.peer_address()),
                                                     " is not host:port, such as 10.0.0.7:7000"));
    }
    const ClusterNode* node = cluster.state().FindNode(caller.node_id);
    if (node->peer_address != request.peer_address()) {
      SHOAL_RETURN_IF_ERROR(
          cluster.Commit({AddressChanged{caller.node_id, request.peer_address()}}));
    }
  } else {
    report.resident = {};
  }
  cluster.live().OnReport(caller.node_id, link, std::move(report), cluster.clock().Now());
  return absl::OkStatus();
}

}  // namespace shoal::ops
