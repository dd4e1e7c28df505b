#include "router/dispatch/expert_call.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/quoted.h"
#include "proto/tensor_codec.h"

namespace shoal {
namespace {

bool SameId(const wire::CallId& a, const wire::CallId& b) {
  return a.router_incarnation() == b.router_incarnation() && a.call() == b.call() &&
         a.step() == b.step() && a.layer() == b.layer() && a.worker() == b.worker() &&
         a.attempt() == b.attempt();
}

// What a worker's typed refusal means here: Unavailable where another replica could help.
absl::Status RefusalStatus(const wire::RunExpertsReply& reply) {
  const std::string why = Quoted(reply.message());
  switch (reply.code()) {
    case wire::REPLY_CODE_NOT_RESIDENT:
    case wire::REPLY_CODE_DRAINING:
    case wire::REPLY_CODE_BAD_CHECKSUM:
    case wire::REPLY_CODE_OVERLOADED:
    case wire::REPLY_CODE_DEADLINE_PASSED:
      return absl::UnavailableError(why);
    default:
      return absl::FailedPreconditionError(
          absl::StrCat("refused with code ", static_cast<int>(reply.code()), ": ", why));
  }
}

// Exponent bits all set: infinity or not a number.
bool AllFiniteF16(std::span<const uint16_t> values) {
  uint16_t found = 0;
  for (const uint16_t v : values) found |= static_cast<uint16_t>((v & 0x7c00) == 0x7c00);
  return found == 0;
}

bool AllFinite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

}  // namespace

WorkerCall& CallTable::Open(WorkerCall call, uint64_t step, uint32_t layer, uint32_t worker) {
  if (calls_.empty()) {
    SHOAL_CHECK_EQ(n_open_, 0);
    first_call_of_step_ = next_call_;
  }
  call.id.set_router_incarnation(router_incarnation_);
  call.id.set_call(next_call_++);
  call.id.set_step(step);
  call.id.set_layer(layer);
  call.id.set_worker(worker);
  call.id.set_attempt(0);
  call.open = true;
  ++n_open_;
  return calls_.emplace_back(std::move(call));
}

void CallTable::OnFrame(LinkId link, FrameBuffer buffer) {
  const absl::StatusOr<Frame> frame = DecodeFrame(buffer);
  if (!frame.ok()) {
    // Whose reply it was cannot be known, only who sent it: what that worker owes has failed.
    ++dropped_.corrupt;
    return OnClosed(link, frame.status());
  }
  if (!frame->header.has_run_experts_reply()) {
    ++dropped_.unknown;
    return;
  }
  const wire::RunExpertsReply& reply = frame->header.run_experts_reply();
  if (!reply.has_id() && reply.code() != wire::REPLY_CODE_OK) {
    // The worker could not read one of our frames, and frames keep their order on a link.
    return OnClosed(link, RefusalStatus(reply));
  }
  WorkerCall* call = FindOpen(link, reply.id());
  if (call != nullptr) Accept(*call, reply, frame->payload, std::move(buffer));
}

// The call that `id` may answer; otherwise null, and the reply is counted as dropped.
WorkerCall* CallTable::FindOpen(LinkId link, const wire::CallId& id) {
  const bool ours =
      id.router_incarnation() == router_incarnation_ && id.call() >= 1 && id.call() < next_call_;
  if (ours && (id.call() < first_call_of_step_ || calls_.empty())) {
    ++dropped_.late;
    return nullptr;
  }
  WorkerCall* call = ours ? &calls_[id.call() - first_call_of_step_] : nullptr;
  if (call == nullptr || call->link != link || !SameId(call->id, id)) {
    ++dropped_.unknown;
    return nullptr;
  }
  if (!call->open) {
    ++dropped_.duplicate;
    return nullptr;
  }
  return call;
}

void CallTable::Accept(WorkerCall& call, const wire::RunExpertsReply& reply,
                       std::span<const std::byte> payload, FrameBuffer frame) {
  if (reply.code() != wire::REPLY_CODE_OK) return Fail(call, RefusalStatus(reply));
  if (absl::Status status = ReadOutput(call, reply, payload); !status.ok()) {
    return Fail(call, status);
  }
  call.reply = std::move(frame);
  call.open = false;
  --n_open_;
}

absl::Status CallTable::ReadOutput(WorkerCall& call, const wire::RunExpertsReply& reply,
                                   std::span<const std::byte> payload) {
  const auto format =
      call.format == RowFormat::kF32 ? wire::ROW_FORMAT_F32 : wire::ROW_FORMAT_QUANTIZED;
  if (reply.format() != format || reply.n_rows() != call.n_results ||
      reply.hidden_dim() != call.hidden_dim) {
    return absl::DataLossError(absl::StrCat(
        "reply has ", reply.n_rows(), " rows of ", reply.hidden_dim(), " in format ",
        static_cast<int>(reply.format()), ", not ", call.n_results, " of ", call.hidden_dim));
  }
  const auto rows = ReadReplyRows(reply, payload);
  if (!rows.ok()) return rows.status();
  if (!AllFinite(rows->row_scale) || !AllFinite(rows->f32) || !AllFiniteF16(rows->f16)) {
    return absl::DataLossError("reply holds a number that is not finite");
  }
  call.output = {.format = call.format,
                 .n_rows = static_cast<int>(call.n_results),
                 .hidden_dim = static_cast<int>(call.hidden_dim),
                 .f16 = rows->f16,
                 .row_scale = rows->row_scale,
                 .f32 = rows->f32};
  return absl::OkStatus();
}

void CallTable::OnClosed(LinkId link, const absl::Status& why) {
  for (WorkerCall& call : calls_) {
    if (call.link == link) Fail(call, why);
  }
}

void CallTable::FailOpen(const absl::Status& why) {
  for (WorkerCall& call : calls_) Fail(call, why);
}

void CallTable::Fail(WorkerCall& call, const absl::Status& why) {
  if (!call.open) return;
  call.open = false;
  --n_open_;
  const bool hopeless = why.code() == absl::StatusCode::kFailedPrecondition ||
                        why.code() == absl::StatusCode::kCancelled;
  call.status = absl::Status(hopeless ? why.code() : absl::StatusCode::kUnavailable,
                             absl::StrCat(call.worker, ": ", std::string(why.message())));
}

}  // namespace shoal
