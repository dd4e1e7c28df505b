#include "worker/worker_service.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "model/expert_set.h"

namespace shoal {

WorkerService::WorkerService(Options options, LocalExperts* experts)
    : options_(std::move(options)),
      run_experts_(options_.served, experts),
      incarnation_(SystemRandom()->Next64()) {
  ExpertSet resident(options_.served.n_layers, options_.served.n_experts);
  for (int layer = 0; layer < options_.served.n_layers; ++layer) {
    for (int expert = 0; expert < options_.served.n_experts; ++expert) {
      if (experts->Resident(layer, expert)) resident.Insert(layer, expert);
    }
  }
  resident_ = resident.Bytes();
  resident_experts_ = static_cast<uint64_t>(resident.size());
  resident_bytes_ = experts->resident_bytes();
}

void WorkerService::OnRunExperts(FrameBuffer buffer, Reply reply) {
  const absl::Time arrival = MonotonicNow();
  bytes_in_.fetch_add(buffer.size());
  absl::StatusOr<Frame> frame = DecodeFrame(buffer);
  if (!frame.ok()) {
    const bool corrupt = frame.status().code() == absl::StatusCode::kDataLoss;
    return Refuse(nullptr, corrupt ? wire::REPLY_CODE_BAD_CHECKSUM : wire::REPLY_CODE_BAD_SHAPE,
                  std::string(frame.status().message()), reply);
  }
  if (!frame->header.has_run_experts_request()) {
    return Refuse(nullptr, wire::REPLY_CODE_BAD_SHAPE, "not a RunExperts request", reply);
  }
  const wire::RunExpertsRequest& request = frame->header.run_experts_request();
  const wire::CallId id = request.id();
  if (!Accept()) {
    return Refuse(&id, wire::REPLY_CODE_DRAINING, "this worker takes no new calls", reply);
  }
  // A time out of range is refused by the op; here it only must not overflow.
  const uint64_t remaining_us = std::min<uint64_t>(
      request.remaining_us(), static_cast<uint64_t>(absl::ToInt64Microseconds(kMaxCallDeadline)));
  Call call{std::move(buffer), *std::move(frame), arrival + absl::Microseconds(remaining_us),
            reply};
  if (!queue_.TryPush(std::move(call))) {
    Refuse(&id, wire::REPLY_CODE_OVERLOADED,
           absl::StrCat("more than ", kMaxCallsPerPeer, " calls wait here"), reply);
    Done();
  }
}

bool WorkerService::RunNext() {
  std::optional<Call> call = queue_.TryPop();
  if (!call.has_value()) return false;
  const auto start = std::chrono::steady_clock::now();
  RunExpertsOp::Answer answer = run_experts_.Handle(call->frame.header.run_experts_request(),
                                                    call->frame.payload, call->deadline);
  compute_ns_.fetch_add(static_cast<uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count()));
  (answer.code == wire::REPLY_CODE_OK ? calls_ : refused_calls_).fetch_add(1);
  rows_computed_.fetch_add(static_cast<uint64_t>(answer.n_rows));
  bytes_out_.fetch_add(answer.frame.size());
  call->reply(std::move(answer.frame));
  Done();
  return true;
}

void WorkerService::OnHealth(const FrameBuffer& buffer, const Reply& reply) {
  const absl::StatusOr<Frame> frame = DecodeFrame(buffer);
  if (!frame.ok() || !frame->header.has_status_request()) return;
  wire::FrameHeader header;
  wire::StatusReply& status = *header.mutable_status_reply();
  status.set_id(frame->header.status_request().id());
  status.set_model_id(options_.served.model_id);
  status.set_numerics_class(options_.served.numerics_class);
  status.set_isa(options_.isa);
  status.set_draining(draining_.load());
  status.set_calls(calls_.load());
  status.set_refused_calls(refused_calls_.load());
  status.set_rows_computed(rows_computed_.load());
  status.set_bytes_in(bytes_in_.load());
  status.set_bytes_out(bytes_out_.load());
  status.set_compute_ns(compute_ns_.load());
  status.set_resident_experts(resident_experts_);
  status.set_resident_expert_bytes(resident_bytes_);
  status.set_rss_bytes(static_cast<uint64_t>(ResidentBytes()));
  status.set_resident(resident_);
  status.set_incarnation(incarnation_);
  reply(EncodeFrame(header));
}

bool WorkerService::Drain(absl::Time deadline) {
  const auto until =
      std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(deadline - MonotonicNow());
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
