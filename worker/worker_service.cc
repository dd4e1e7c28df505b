#include "worker/worker_service.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/memory.h"
#include "proto/authorization.h"

namespace shoal {
namespace {

constexpr absl::Duration kBusyFor = absl::Seconds(3);  // Since the last call.

}  // namespace

WorkerService::WorkerService(Options options)
    : options_(std::move(options)),
      incarnation_(options_.random->Next64()),
      last_call_ns_(std::numeric_limits<int64_t>::min()) {}

void WorkerService::Serve(std::shared_ptr<Served> served) {
  MutexLock lock(&mu_);
  served_.swap(served);
  // The former, if this was its last owner, goes after the lock.
}

std::shared_ptr<Served> WorkerService::served() const {
  MutexLock lock(&mu_);
  return served_;
}

bool WorkerService::IsBusy() const {
  const int64_t now = absl::ToUnixNanos(options_.clock->Now());
  return now - absl::ToInt64Nanoseconds(kBusyFor) < last_call_ns_.load();
}

absl::Status WorkerService::CheckCaller(const NodeIdentity& peer, const wire::FrameHeader& header,
                                        StreamKind kind) const {
  const NodeIdentity caller =
      options_.authenticated ? peer : NodeIdentity{NodeRole::kRouter, peer.node_id};
  if (absl::Status status = CheckCall(header, kind, caller); !status.ok()) return status;
  const auto snapshot = options_.snapshot ? options_.snapshot() : nullptr;
  if (snapshot != nullptr && snapshot->IsRevoked(peer.node_id)) {
    return absl::PermissionDeniedError(absl::StrCat("node ", peer.node_id, " has been revoked"));
  }
  return absl::OkStatus();
}

void WorkerService::OnRunExperts(const NodeIdentity& peer, FrameBuffer buffer, Reply reply) {
  const absl::Time arrival = options_.clock->Now();
  const size_t n_bytes = buffer.size();
  bytes_in_.fetch_add(n_bytes);
  absl::StatusOr<Frame> frame = DecodeFrame(buffer);
  if (!frame.ok()) {
    const bool corrupt = frame.status().code() == absl::StatusCode::kDataLoss;
    return Refuse(nullptr, corrupt ? wire::REPLY_CODE_BAD_CHECKSUM : wire::REPLY_CODE_BAD_SHAPE,
                  std::string(frame.status().message()), reply);
  }
  const wire::RunExpertsRequest& request = frame->header.run_experts_request();
  if (const absl::Status may = CheckCaller(peer, frame->header, StreamKind::kRunExperts);
      !may.ok()) {
    const bool denied = absl::IsPermissionDenied(may);
    return Refuse(denied && frame->header.has_run_experts_request() ? &request.id() : nullptr,
                  denied ? wire::REPLY_CODE_DENIED : wire::REPLY_CODE_BAD_SHAPE,
                  std::string(may.message()), reply);
  }
  if (!Accept()) {
    return Refuse(&request.id(), wire::REPLY_CODE_DRAINING, "this worker takes no new calls",
                  reply);
  }
  last_call_ns_.store(absl::ToUnixNanos(arrival));
  // A time out of range is refused by the op; here it only must not overflow.
  const uint64_t remaining_us = std::min<uint64_t>(
      request.remaining_us(), static_cast<uint64_t>(absl::ToInt64Microseconds(kMaxCallDeadline)));
  Call call{std::move(buffer), *std::move(frame), arrival,
            arrival + absl::Microseconds(remaining_us), std::move(reply)};
  if (const absl::Status queued = queue_.Push(peer.node_id, n_bytes, std::move(call));
      !queued.ok()) {
    Refuse(&call.frame.header.run_experts_request().id(), wire::REPLY_CODE_OVERLOADED,
           std::string(queued.message()), call.reply);  // Push leaves what it does not take.
    Done();
  }
}

RunExpertsOp::Answer WorkerService::Answer(const Call& call) {
  const wire::RunExpertsRequest& request = call.frame.header.run_experts_request();
  // Held until it is answered: another model may take its place meanwhile.
  const std::shared_ptr<Served> served = this->served();
  if (served == nullptr) {
    return {RunExpertsOp::Refuse(&request.id(), wire::REPLY_CODE_NOT_RESIDENT,
                                 "this worker has been given no model yet"),
            wire::REPLY_CODE_NOT_RESIDENT, 0};
  }
  return served->op().Handle(request, call.frame.payload, call.deadline);
}

bool WorkerService::RunNext() {
  std::optional<PeerQueues<Call>::Popped> next = queue_.TryPop();
  if (!next.has_value()) return false;
  const auto start = std::chrono::steady_clock::now();
  RunExpertsOp::Answer answer = Answer(next->item);
  compute_ns_.fetch_add(static_cast<uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count()));
  (answer.code == wire::REPLY_CODE_OK ? calls_ : refused_calls_).fetch_add(1);
  rows_computed_.fetch_add(static_cast<uint64_t>(answer.n_rows));
  bytes_out_.fetch_add(answer.frame.size());
  call_time_.Observe(absl::ToDoubleSeconds(options_.clock->Now() - next->item.arrival));
  queue_.Done(next->peer, next->n_bytes);
  next->item.reply(std::move(answer.frame));
  Done();
  return true;
}

void WorkerService::OnHealth(const NodeIdentity& peer, const FrameBuffer& buffer,
                             const Reply& reply) {
  const absl::StatusOr<Frame> frame = DecodeFrame(buffer);
  if (!frame.ok() || !CheckCaller(peer, frame->header, StreamKind::kHealth).ok()) return;
  wire::FrameHeader header;
  wire::StatusReply& status = *header.mutable_status_reply();
  status.set_id(frame->header.status_request().id());
  status.set_incarnation(incarnation_);
  if (const std::shared_ptr<Served> served = this->served(); served != nullptr) {
    const ExpertSet advertised = served->advertised();
    status.set_model_id(served->model().model_id);
    status.set_numerics_class(served->model().numerics_class);
    status.set_resident(advertised.Bytes());
    status.set_resident_experts(static_cast<uint64_t>(advertised.size()));
    status.set_resident_expert_bytes(served->experts().resident_bytes());
  }
  status.set_isa(options_.isa);
  status.set_draining(draining_.load());
  status.set_calls(calls_.load());
  status.set_refused_calls(refused_calls_.load());
  status.set_rows_computed(rows_computed_.load());
  status.set_bytes_in(bytes_in_.load());
  status.set_bytes_out(bytes_out_.load());
  status.set_compute_ns(compute_ns_.load());
  status.set_rss_bytes(static_cast<uint64_t>(ResidentBytes()));
  reply(EncodeFrame(header));
}

void WorkerService::AddMetrics(Metrics* metrics) const {
  const auto add = [metrics](std::string_view name, auto value) {
    metrics->Add(name, static_cast<double>(value));
  };
  add("shoal_worker_calls_total", calls_.load());
  add("shoal_worker_refused_calls_total", refused_calls_.load());
  add("shoal_worker_rows_total", rows_computed_.load());
  add("shoal_worker_received_bytes_total", bytes_in_.load());
  add("shoal_worker_sent_bytes_total", bytes_out_.load());
  add("shoal_worker_compute_seconds_total", static_cast<double>(compute_ns_.load()) * 1e-9);
  add("shoal_worker_draining", draining_.load());
  metrics->Add("shoal_worker_call_seconds", call_time_.Read());
  MutexLock lock(&mu_);
  add("shoal_worker_calls_waiting", n_accepted_);
}

bool WorkerService::Drain(absl::Time deadline) {
  const auto until = std::chrono::steady_clock::now() +
                     absl::ToChronoNanoseconds(deadline - options_.clock->Now());
  MutexLock lock(&mu_);
  draining_.store(true);
  while (n_accepted_ > 0) {
    if (!all_done_.WaitUntil(&mu_, until) && n_accepted_ > 0) return false;
  }
  return true;
}

void WorkerService::Refuse(const wire::CallId* id, wire::ReplyCode code, const std::string& message,
                           const Reply& reply) {
  refused_calls_.fetch_add(1);
  FrameBuffer frame = RunExpertsOp::Refuse(id, code, message);
  bytes_out_.fetch_add(frame.size());
  reply(std::move(frame));
}

bool WorkerService::Accept() {
  MutexLock lock(&mu_);
  if (draining_.load()) return false;
  ++n_accepted_;
  return true;
}

void WorkerService::Done() {
  MutexLock lock(&mu_);
  if (--n_accepted_ == 0) all_done_.SignalAll();
}

}  // namespace shoal
