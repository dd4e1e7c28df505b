#include "worker/ops/run_experts.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "proto/tensor_codec.h"

namespace shoal {
namespace {

static_assert(kRowBlock == kActivationBlock, "rows travel in the blocks that kernels read");

// Field by field: what else a peer put into its id would be echoed, and could outgrow a header.
void CopyId(const wire::CallId& from, wire::CallId* to) {
  to->set_router_incarnation(from.router_incarnation());
  to->set_call(from.call());
  to->set_step(from.step());
  to->set_layer(from.layer());
  to->set_worker(from.worker());
  to->set_attempt(from.attempt());
}

wire::RowFormat ToWire(RowFormat format) {
  return format == RowFormat::kF32 ? wire::ROW_FORMAT_F32 : wire::ROW_FORMAT_QUANTIZED;
}

}  // namespace

RunExpertsOp::RunExpertsOp(ServedModel served, LocalExperts* experts, Clock* clock)
    : served_(std::move(served)), experts_(experts), clock_(clock) {
  SHOAL_CHECK(experts_->format() == served_.format);
}

RunExpertsOp::Answer RunExpertsOp::Handle(const wire::RunExpertsRequest& request,
                                          std::span<const std::byte> payload, absl::Time deadline) {
  std::optional<Refusal> refusal = CheckFit(request);
  if (!refusal) refusal = CheckAssignment(request);
  if (!refusal) refusal = ReadInput(request, payload);
  if (!refusal && clock_->Now() >= deadline) {
    refusal = {wire::REPLY_CODE_DEADLINE_PASSED, "the call waited here past its deadline"};
  }
  if (refusal) {
    return {Refuse(&request.id(), refusal->code, refusal->message), refusal->code, 0};
  }
  FillAssignment(request);
  const int layer = static_cast<int>(request.id().layer());
  const absl::Time start = clock_->Now();
  const absl::StatusOr<ExpertOutput> output =
      experts_->Compute(layer, input_, assignment_, [&] { return clock_->Now() >= deadline; });
  if (!output.ok()) {
    const wire::ReplyCode code = absl::IsCancelled(output.status())
                                     ? wire::REPLY_CODE_DEADLINE_PASSED
                                     : wire::REPLY_CODE_NOT_RESIDENT;
    return {Refuse(&request.id(), code, std::string(output.status().message())), code, 0};
  }
  return {Reply(request, *output, clock_->Now() - start), wire::REPLY_CODE_OK, output->n_rows};
}

// Whether the two sides speak of the same model, numbers and shapes.
std::optional<RunExpertsOp::Refusal> RunExpertsOp::CheckFit(
    const wire::RunExpertsRequest& request) const {
  const auto bad_shape = [](auto... parts) {
    return Refusal{wire::REPLY_CODE_BAD_SHAPE, absl::StrCat(parts...)};
  };
  if (!request.has_id()) return bad_shape("the call has no id");
  if (request.model_id() != served_.model_id) {
    return Refusal{wire::REPLY_CODE_WRONG_MODEL,
                   absl::StrCat("model ", Quoted(request.model_id()), " asked for, ",
                                served_.model_id, " is served here")};
  }
  if (request.numerics_class() != served_.numerics_class) {
    return Refusal{wire::REPLY_CODE_WRONG_NUMERICS,
                   absl::StrCat("numerics class ", Quoted(request.numerics_class()), " asked for, ",
                                served_.numerics_class, " is served here")};
  }
  if (request.format() != ToWire(served_.format)) {
    return bad_shape("row format ", static_cast<int>(request.format()), ", rows here are ",
                     static_cast<int>(ToWire(served_.format)));
  }
  if (request.hidden_dim() != static_cast<uint32_t>(served_.hidden_dim)) {
    return bad_shape("hidden_dim=", request.hidden_dim(), ", the model has ", served_.hidden_dim);
  }
  if (request.id().layer() >= static_cast<uint32_t>(served_.n_layers)) {
    return bad_shape("layer=", request.id().layer(), " not in [0, ", served_.n_layers, ")");
  }
  const auto cap_us = static_cast<uint64_t>(absl::ToInt64Microseconds(kMaxCallDeadline));
  if (request.remaining_us() < 1 || request.remaining_us() > cap_us) {
    return bad_shape("remaining_us=", request.remaining_us(), " not in [1, ", cap_us, "]");
  }
  return std::nullopt;
}

// Experts ascending, each with at least one row; whether they are resident Compute finds; rows in
// range and ascending.
std::optional<RunExpertsOp::Refusal> RunExpertsOp::CheckAssignment(
    const wire::RunExpertsRequest& request) const {
  const auto bad_shape = [](auto... parts) {
    return Refusal{wire::REPLY_CODE_BAD_SHAPE, absl::StrCat(parts...)};
  };
  const int n_experts = request.expert_ids_size();
  const auto n_results = static_cast<uint32_t>(request.rows_size());
  if (n_experts < 1) return bad_shape("the call names no expert");
  if (request.n_expert_rows_size() != n_experts) {
    return bad_shape(n_experts, " experts but ", request.n_expert_rows_size(), " row counts");
  }
  if (const auto bytes = ReplyPayloadBytes(request.format(), n_results, request.hidden_dim());
      !bytes.ok()) {
    return bad_shape("reply: ", bytes.status().message());
  }
  uint32_t first = 0;
  for (int e = 0; e < n_experts; ++e) {
    const uint32_t id = request.expert_ids(e);
    const uint32_t n_rows = request.n_expert_rows(e);
    if (e > 0 && id <= request.expert_ids(e - 1)) {
      return bad_shape("expert id ", id, " after ", request.expert_ids(e - 1), "; ids must ascend");
    }
    if (id >= static_cast<uint32_t>(served_.n_experts)) {
      return bad_shape("expert id ", id, " not in [0, ", served_.n_experts, ")");
    }
    if (n_rows < 1 || n_rows > n_results - first) {
      return bad_shape("expert ", id, " has ", n_rows, " rows, ", n_results - first, " are left");
    }
    for (uint32_t i = first; i < first + n_rows; ++i) {
      const uint32_t row = request.rows(static_cast<int>(i));
      if (row >= request.n_rows() || (i > first && row <= request.rows(static_cast<int>(i) - 1))) {
        return bad_shape("row ", row, " of expert ", id,
                         ": rows must ascend in [0, n_rows=", request.n_rows(), ")");
      }
    }
    first += n_rows;
  }
  if (first != n_results) {
    return bad_shape("row counts add up to ", first, ", ", n_results, " rows are listed");
  }
  return std::nullopt;
}

std::optional<RunExpertsOp::Refusal> RunExpertsOp::ReadInput(const wire::RunExpertsRequest& request,
                                                             std::span<const std::byte> payload) {
  const auto rows = ReadRequestRows(request, payload);
  if (!rows.ok()) {
    return Refusal{wire::REPLY_CODE_BAD_SHAPE, std::string(rows.status().message())};
  }
  input_ = {.format = served_.format,
            .n_rows = static_cast<int>(request.n_rows()),
            .hidden_dim = served_.hidden_dim,
            .q8 = rows->q8,
            .scales = rows->scales,
            .f32 = rows->f32};
  return std::nullopt;
}

void RunExpertsOp::FillAssignment(const wire::RunExpertsRequest& request) {
  assignment_.expert_ids.assign(request.expert_ids().begin(), request.expert_ids().end());
  assignment_.rows.assign(request.rows().begin(), request.rows().end());
  assignment_.row_begin.assign(1, 0);
  for (const uint32_t n_rows : request.n_expert_rows()) {
    assignment_.row_begin.push_back(assignment_.row_begin.back() + static_cast<int32_t>(n_rows));
  }
}

FrameBuffer RunExpertsOp::Reply(const wire::RunExpertsRequest& request, const ExpertOutput& output,
                                absl::Duration compute) {
  wire::FrameHeader header;
  wire::RunExpertsReply& reply = *header.mutable_run_experts_reply();
  CopyId(request.id(), reply.mutable_id());
  reply.set_code(wire::REPLY_CODE_OK);
  reply.set_format(request.format());
  reply.set_n_rows(static_cast<uint32_t>(output.n_rows));
  reply.set_hidden_dim(request.hidden_dim());
  reply.set_compute_us(static_cast<uint64_t>(absl::ToInt64Microseconds(compute)));
  const auto bytes = ReplyPayloadBytes(reply.format(), reply.n_rows(), reply.hidden_dim());
  SHOAL_CHECK(bytes.ok());  // CheckAssignment made sure.
  FrameWriter writer(header, *bytes);
  const auto rows = WriteReplyRows(reply, writer.payload());
  SHOAL_CHECK(rows.ok());
  std::copy(output.f32.begin(), output.f32.end(), rows->f32.begin());
  std::copy(output.f16.begin(), output.f16.end(), rows->f16.begin());
  std::copy(output.row_scale.begin(), output.row_scale.end(), rows->row_scale.begin());
  return std::move(writer).Finish();
}

FrameBuffer RunExpertsOp::Refuse(const wire::CallId* id, wire::ReplyCode code,
                                 const std::string& message) {
  wire::FrameHeader header;
  wire::RunExpertsReply& reply = *header.mutable_run_experts_reply();
  if (id != nullptr) CopyId(*id, reply.mutable_id());
  reply.set_code(code);
  reply.set_message(message);
  return EncodeFrame(header);
}

}  // namespace shoal
