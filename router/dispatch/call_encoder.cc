#include "router/dispatch/call_encoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/limits.h"
#include "proto/tensor_codec.h"

namespace shoal {
namespace {

wire::RowFormat ToWire(RowFormat format) {
  return format == RowFormat::kF32 ? wire::ROW_FORMAT_F32 : wire::ROW_FORMAT_QUANTIZED;
}

// Rows `rows` of `from` [n, row_elems], one after the other.
template <typename T>
void Gather(std::span<const T> from, size_t row_elems, std::span<const int32_t> rows,
            std::span<T> to) {
  for (size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(to.data() + i * row_elems, from.data() + rows[i] * row_elems,
                row_elems * sizeof(T));
  }
}

}  // namespace

int RowsPerMessage(const CallForm& form) {
  const auto dim = static_cast<size_t>(form.hidden_dim);
  const size_t row_bytes =
      form.format == RowFormat::kF32 ? dim * sizeof(float) : dim * 2 + sizeof(float);
  return static_cast<int>(std::min(kMaxPayloadBytes / row_bytes, size_t{kMaxCallRows}));
}

FrameBuffer EncodeCall(const CallForm& form, const PlannedCall& planned, const wire::CallId& id,
                       const ExpertInput& input, absl::Duration remaining) {
  const ExpertAssignment& assignment = planned.assignment;
  wire::FrameHeader header;
  wire::RunExpertsRequest& request = *header.mutable_run_experts_request();
  *request.mutable_id() = id;
  request.set_remaining_us(static_cast<uint64_t>(
      absl::ToInt64Microseconds(std::clamp(remaining, absl::Microseconds(1), kMaxCallDeadline))));
  request.set_model_id(form.model_id);
  request.set_numerics_class(form.numerics_class);
  request.set_format(ToWire(form.format));
  request.set_n_rows(static_cast<uint32_t>(planned.tokens.size()));
  request.set_hidden_dim(static_cast<uint32_t>(form.hidden_dim));
  request.mutable_expert_ids()->Add(assignment.expert_ids.begin(), assignment.expert_ids.end());
  request.mutable_rows()->Add(assignment.rows.begin(), assignment.rows.end());
  for (size_t e = 0; e < assignment.expert_ids.size(); ++e) {
    request.add_n_expert_rows(assignment.row_begin[e + 1] - assignment.row_begin[e]);
  }
  const auto bytes = RequestPayloadBytes(request.format(), request.n_rows(), request.hidden_dim());
  SHOAL_CHECK(bytes.ok());  // A call has no more rows than results, and those fit.
  FrameWriter writer(header, *bytes);
  const auto rows = WriteRequestRows(request, writer.payload());
  SHOAL_CHECK(rows.ok());
  if (form.format == RowFormat::kF32) {
    Gather<float>(input.f32, form.hidden_dim, planned.tokens, rows->f32);
  } else {
    const auto blocks = static_cast<size_t>(ActivationBlocks(form.hidden_dim));
    Gather<int8_t>(input.q8, blocks * kActivationBlock, planned.tokens, rows->q8);
    Gather<float>(input.scales, blocks, planned.tokens, rows->scales);
  }
  return std::move(writer).Finish();
}

std::vector<int> RowsNotFinite(const ExpertInput& input) {
  const bool f32 = input.format == RowFormat::kF32;
  const std::span<const float> values = f32 ? input.f32 : input.scales;
  const size_t per_row = f32 ? input.hidden_dim : ActivationBlocks(input.hidden_dim);
  std::vector<int> rows;
  for (int t = 0; t < input.n_rows; ++t) {
    const std::span<const float> row = values.subspan(t * per_row, per_row);
    if (!std::all_of(row.begin(), row.end(), [](float v) { return std::isfinite(v); })) {
      rows.push_back(t);
    }
  }
  return rows;
}

}  // namespace shoal
