#include "coordinator/coordinator_service.h"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/ops/ops.h"
#include "proto/authorization.h"

namespace shoal {
namespace {

constexpr int kMaxTriesPerSecond = 5;
constexpr size_t kMaxReplyText = 1024;

FrameBuffer Encode(const wire::FrameHeader& header, const std::string& payload) {
  FrameWriter writer(header, payload.size());
  if (!payload.empty()) std::memcpy(writer.payload().data(), payload.data(), payload.size());
  return std::move(writer).Finish();
}

FrameBuffer EncodeReply(const wire::ControlReply& reply, const std::string& payload) {
  wire::FrameHeader header;
  *header.mutable_control_reply() = reply;
  return Encode(header, payload);
}

FrameBuffer EncodeUpdate(const std::string& signed_snapshot) {
  wire::FrameHeader header;
  header.mutable_snapshot_update();
  return Encode(header, signed_snapshot);
}

void SetStatus(const absl::Status& status, wire::ControlReply* reply) {
  reply->set_code(static_cast<uint32_t>(status.code()));
  if (!status.ok()) reply->set_message(std::string(status.message()).substr(0, kMaxReplyText));
}

}  // namespace

void CoordinatorService::OnFrame(const Caller& caller, const FrameBuffer& frame, Send send) {
  const absl::StatusOr<Frame> read = DecodeFrame(frame);
  wire::ControlReply reply;
  if (read.ok()) {
    reply = Answer(caller, read->header);
  } else {
    SetStatus(read.status(), &reply);
  }
  const std::string payload = reply.has_cluster_status()
                                  ? ops::DescribeCluster(*cluster_).SerializeAsString()
                                  : std::string();
  if (!send(caller.link, EncodeReply(reply, payload)).ok()) OnClosed(caller.link);
  Push(send);
}

wire::ControlReply CoordinatorService::Answer(const Caller& caller,
                                              const wire::FrameHeader& header) {
  wire::ControlReply reply;
  reply.set_id(header.control_request().id());
  absl::Status status = Check(caller, header);
  if (absl::IsPermissionDenied(status)) {
    cluster_->audit().WriteDenial({{"role", std::string(RoleName(caller.identity.role))},
                                   {"node", caller.identity.node_id},
                                   {"why", std::string(status.message())}});
  }
  if (status.ok()) status = Dispatch(caller, header.control_request(), &reply);
  const auto operation = static_cast<size_t>(header.control_request().request_case());
  ++asked_.at(operation < kOperations ? operation : 0);
  if (!status.ok()) {
    ++refused_.at(operation < kOperations ? operation : 0);
    reply.clear_reply();
  }
  SetStatus(status, &reply);
  return reply;
}

absl::Status CoordinatorService::Check(const Caller& caller, const wire::FrameHeader& header) {
  SHOAL_RETURN_IF_ERROR(CheckCall(header, StreamKind::kControl, caller.identity));
  if (cluster_->deposed()) {
    return absl::UnavailableError("this coordinator has been replaced by another one");
  }
  if (caller.identity.role == NodeRole::kNone) return CheckRate(caller.link);
  return CheckMembership(caller.identity);
}

absl::Status CoordinatorService::CheckRate(LinkId link) {
  Tries& tries = tries_[link];
  const absl::Time now = cluster_->clock().Now();
  if (tries.n == 0 || now - tries.since >= absl::Seconds(1)) tries = {.since = now, .n = 0};
  if (++tries.n <= kMaxTriesPerSecond) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("more than ", kMaxTriesPerSecond, " tries a second; wait a second"));
}

absl::Status CoordinatorService::CheckMembership(const NodeIdentity& caller) const {
  if (caller.role != NodeRole::kRouter && caller.role != NodeRole::kWorker) return absl::OkStatus();
  const ClusterNode* node = cluster_->state().FindNode(caller.node_id);
  if (node == nullptr || node->identity != caller) {
    return absl::PermissionDeniedError(absl::StrCat(
        "node ", caller.node_id, " is not known here; let it join again, with a token"));
  }
  if (node->revoked) {
    return absl::PermissionDeniedError(absl::StrCat("node ", caller.node_id, " has been revoked"));
  }
  return absl::OkStatus();
}

absl::Status CoordinatorService::Dispatch(const Caller& caller, const wire::ControlRequest& request,
                                          wire::ControlReply* reply) {
  Cluster& cluster = *cluster_;
  switch (request.request_case()) {
    case wire::ControlRequest::kJoin:
      return ops::Join(cluster, request.join(), reply->mutable_join());
    case wire::ControlRequest::kRenew:
      return ops::Renew(cluster, caller.identity, request.renew(), reply->mutable_renew());
    case wire::ControlRequest::kReportStatus:
      reply->mutable_report_status();
      return ops::ReportStatus(cluster, caller.identity, caller.link, request.report_status());
    case wire::ControlRequest::kWatch:
      reply->mutable_watch();
      watchers_[caller.link] = {caller.identity.node_id, request.watch().known_epoch()};
      return absl::OkStatus();
    case wire::ControlRequest::kCreateToken:
      return ops::CreateToken(cluster, request.create_token(), reply->mutable_create_token());
    case wire::ControlRequest::kListNodes:
      reply->set_message(cluster.keeper().text().substr(0, kMaxReplyText));
      return ops::ListNodes(cluster, reply->mutable_list_nodes());
    case wire::ControlRequest::kClusterStatus:
      reply->mutable_cluster_status();
      return absl::OkStatus();
    case wire::ControlRequest::kSetModel:
      return ops::SetModel(cluster, request.set_model(), reply->mutable_set_model());
    case wire::ControlRequest::kDrain:
      reply->mutable_drain();
      return ops::Drain(cluster, request.drain());
    case wire::ControlRequest::kRevoke:
      reply->mutable_revoke();
      return ops::Revoke(cluster, request.revoke());
    case wire::ControlRequest::REQUEST_NOT_SET:
      break;  // CheckCall refused it.
  }
  return absl::InvalidArgumentError("the request is empty");
}

void CoordinatorService::OnClosed(LinkId link) {
  watchers_.erase(link);
  tries_.erase(link);
  cluster_->live().OnClosed(link);
}

void CoordinatorService::Tick(Send send) {
  cluster_->Tick();
  Push(send);
}

ClusterView CoordinatorService::View() const {
  static constexpr std::array<std::string_view, kOperations> kNames = {
      "",           "",          "join",  "renew",  "report_status", "watch", "create_token",
      "list_nodes", "set_model", "drain", "revoke", "cluster_status"};
  ClusterView view = ViewOf(*cluster_);
  for (size_t i = 0; i < kOperations; ++i) {
    if (!kNames[i].empty()) view.requests.push_back({kNames[i], asked_[i], refused_[i]});
  }
  view.snapshots_sent = snapshots_sent_;
  return view;
}

void CoordinatorService::Push(Send send) {
  const uint64_t epoch = cluster_->state().epoch();
  std::vector<LinkId> closed;
  for (auto& [link, watcher] : watchers_) {
    if (watcher.epoch >= epoch) continue;
    watcher.epoch = epoch;
    const ClusterNode* node = cluster_->state().FindNode(watcher.node_id);
    const bool revoked = node != nullptr && node->revoked;
    if (revoked || !send(link, EncodeUpdate(cluster_->signed_snapshot())).ok()) {
      closed.push_back(link);
    } else {
      ++snapshots_sent_;
    }
  }
  for (const LinkId link : closed) OnClosed(link);
}

}  // namespace shoal
