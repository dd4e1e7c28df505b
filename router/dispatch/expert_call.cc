#include "router/dispatch/expert_call.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "proto/tensor_codec.h"

namespace shoal {
namespace {

bool SameId(const wire::CallId& a, const wire::CallId& b) {
  return a.router_incarnation() == b.router_incarnation() && a.call() == b.call() &&
         a.step() == b.step() && a.layer() == b.layer() && a.worker() == b.worker() &&
         a.attempt() == b.attempt();
}

// What a worker's typed refusal means here.
CallState StateOf(wire::ReplyCode code) {
  switch (code) {
    case wire::REPLY_CODE_NOT_RESIDENT:
    case wire::REPLY_CODE_DRAINING:
    case wire::REPLY_CODE_BAD_CHECKSUM:
    case wire::REPLY_CODE_OVERLOADED:
    case wire::REPLY_CODE_DEADLINE_PASSED:
      return CallState::kRefused;
    default:
      return CallState::kHopeless;
  }
}

absl::Status RefusalStatus(const wire::RunExpertsReply& reply) {
  const std::string why = absl::StrCat("refused with code ", static_cast<int>(reply.code()), ": ",
                                       Quoted(reply.message()));
  return StateOf(reply.code()) == CallState::kRefused ? absl::UnavailableError(why)
                                                      : absl::FailedPreconditionError(why);
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

// The rows of a reply that hold infinity or no number. One quick look at all of them first.
std::vector<int32_t> RowsNotFinite(const ExpertOutput& output) {
  std::vector<int32_t> rows;
  if (AllFinite(output.row_scale) && AllFinite(output.f32) && AllFiniteF16(output.f16)) return rows;
  const auto dim = static_cast<size_t>(output.hidden_dim);
  for (int32_t row = 0; row < output.n_rows; ++row) {
    const bool finite = output.format == RowFormat::kF32
                            ? AllFinite(output.f32.subspan(row * dim, dim))
                            : AllFinite(output.row_scale.subspan(row, 1)) &&
                                  AllFiniteF16(output.f16.subspan(row * dim, dim));
    if (!finite) rows.push_back(row);
  }
  return rows;
}

}  // namespace

void CallTable::Clear() {
  calls_.clear();
  ended_.clear();
  n_ended_seen_ = 0;
  first_call_of_step_ = next_call_;
}

WorkerCall& CallTable::Open(WorkerCall call, uint64_t step, uint32_t layer, uint32_t worker,
                            uint32_t attempt) {
  call.id.set_router_incarnation(router_incarnation_);
  call.id.set_call(next_call_++);
  call.id.set_step(step);
  call.id.set_layer(layer);
  call.id.set_worker(worker);
  call.id.set_attempt(attempt);
  call.state = CallState::kWaiting;
  return calls_.emplace_back(std::move(call));
}

CallTable::FrameKind CallTable::OnFrame(LinkId link, FrameBuffer buffer) {
  const absl::StatusOr<Frame> frame = DecodeFrame(buffer);
  if (!frame.ok()) {
    // Whose reply it was cannot be known, only who sent it: what that worker owes has failed.
    ++dropped_.corrupt;
    EndAll(link, CallState::kCorrupt, frame.status());
    return FrameKind::kCorrupt;
  }
  if (!frame->header.has_run_experts_reply()) {
    ++dropped_.unknown;
    return FrameKind::kDropped;
  }
  const wire::RunExpertsReply& reply = frame->header.run_experts_reply();
  if (!reply.has_id() && reply.code() != wire::REPLY_CODE_OK) {
    // The worker could not read one of our frames, and which one it does not know.
    EndAll(link, CallState::kCorrupt, RefusalStatus(reply));
    return FrameKind::kCorrupt;
  }
  const std::optional<int> i = FindOpen(link, reply.id());
  if (!i.has_value()) return FrameKind::kDropped;
  Accept(*i, reply, frame->payload, std::move(buffer));
  return calls_[*i].state == CallState::kCorrupt ? FrameKind::kCorrupt : FrameKind::kReply;
}

// The call that `id` may answer; otherwise none, and the reply is counted as dropped.
std::optional<int> CallTable::FindOpen(LinkId link, const wire::CallId& id) {
  const bool ours =
      id.router_incarnation() == router_incarnation_ && id.call() >= 1 && id.call() < next_call_;
  if (ours && id.call() < first_call_of_step_) {
    ++dropped_.late;
    return std::nullopt;
  }
  const auto i = static_cast<int>(ours ? id.call() - first_call_of_step_ : 0);
  if (!ours || calls_[i].link != link || calls_[i].state == CallState::kWaiting ||
      !SameId(calls_[i].id, id)) {
    ++dropped_.unknown;
    return std::nullopt;
  }
  if (!calls_[i].open()) {
    ++dropped_.duplicate;
    return std::nullopt;
  }
  return i;
}

void CallTable::Accept(int i, const wire::RunExpertsReply& reply,
                       std::span<const std::byte> payload, FrameBuffer frame) {
  if (reply.code() != wire::REPLY_CODE_OK) {
    return End(i, StateOf(reply.code()), RefusalStatus(reply));
  }
  WorkerCall& call = calls_[i];
  if (absl::Status status = ReadOutput(call, reply, payload); !status.ok()) {
    return End(i, CallState::kCorrupt, status);
  }
  call.reply = std::move(frame);
  call.compute = absl::Microseconds(static_cast<int64_t>(
      std::min<uint64_t>(reply.compute_us(), absl::ToInt64Microseconds(kMaxCallDeadline))));
  End(i, CallState::kAnswered, absl::OkStatus());
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
  call.output = {.format = call.format,
                 .n_rows = static_cast<int>(call.n_results),
                 .hidden_dim = static_cast<int>(call.hidden_dim),
                 .f16 = rows->f16,
                 .row_scale = rows->row_scale,
                 .f32 = rows->f32};
  call.rows_not_finite = RowsNotFinite(call.output);
  return absl::OkStatus();
}

void CallTable::EndAll(LinkId link, CallState state, const absl::Status& why) {
  for (size_t i = 0; i < calls_.size(); ++i) {
    if (calls_[i].link == link) End(static_cast<int>(i), state, why);
  }
}

void CallTable::End(int i, CallState state, const absl::Status& why) {
  WorkerCall& call = calls_[i];
  if (!call.open()) return;
  call.state = state;
  call.status = why;
  ended_.push_back(i);
}

std::optional<int> CallTable::NextEnded() {
  if (n_ended_seen_ == ended_.size()) return std::nullopt;
  return ended_[n_ended_seen_++];
}

}  // namespace shoal
