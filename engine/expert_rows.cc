#include "engine/expert_rows.h"

#include <algorithm>
#include <array>

#include "base/limits.h"

namespace shoal {

ExpertInput ExpertBuffers::Encode(const KernelTable& kernels, ThreadPool* pool, RowFormat format,
                                  MatView<const float> x) {
  ExpertInput input{
      .format = format, .n_rows = static_cast<int>(x.rows), .hidden_dim = static_cast<int>(x.cols)};
  if (format == RowFormat::kF32) {
    f32_.resize(x.rows * x.cols);
    for (int64_t t = 0; t < x.rows; ++t) {
      std::copy(x.row(t), x.row(t) + x.cols, f32_.begin() + t * x.cols);
    }
    input.f32 = f32_;
    return input;
  }
  const int64_t n_blocks = ActivationBlocks(x.cols);
  q8_.resize(x.rows * n_blocks * kActivationBlock);
  scales_.resize(x.rows * n_blocks);
  const auto encode = [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      kernels.quantize_row(x.row(t), x.cols, q8_.data() + t * n_blocks * kActivationBlock,
                           scales_.data() + t * n_blocks);
    }
  };
  if (pool != nullptr) {
    pool->ParallelFor(x.rows, 4, encode);
  } else {
    encode(0, x.rows, 0);
  }
  input.q8 = q8_;
  input.scales = scales_;
  return input;
}

RowsView ViewOf(const ExpertInput& input) {
  RowsView view{.n_rows = input.n_rows, .cols = input.hidden_dim};
  if (input.format == RowFormat::kF32) {
    view.f32 = input.f32.data();
    view.f32_stride = input.hidden_dim;
    return view;
  }
  view.scale_stride = ActivationBlocks(input.hidden_dim);
  view.q8_stride = view.scale_stride * kActivationBlock;
  view.q8 = input.q8.data();
  view.scales = input.scales.data();
  return view;
}

void AssignRows(const Routing& routing, int n_experts, ExpertAssignment* assignment,
                std::vector<int32_t>* result_of) {
  const size_t n_pairs = size_t(routing.n_tokens) * routing.top_k;
  // A counting sort: pairs stay in token order within an expert.
  std::array<int32_t, kMaxExperts> count{};
  for (size_t i = 0; i < n_pairs; ++i) ++count[routing.topk_ids[i]];
  assignment->expert_ids.clear();
  assignment->row_begin.assign(1, 0);
  std::array<int32_t, kMaxExperts> place{};
  for (int e = 0; e < n_experts; ++e) {
    if (count[e] == 0) continue;
    place[e] = assignment->row_begin.back();
    assignment->expert_ids.push_back(e);
    assignment->row_begin.push_back(place[e] + count[e]);
  }
  assignment->rows.resize(n_pairs);
  result_of->resize(n_pairs);
  for (size_t i = 0; i < n_pairs; ++i) {
    const int32_t row = place[routing.topk_ids[i]]++;
    assignment->rows[row] = static_cast<int32_t>(i / routing.top_k);
    (*result_of)[i] = row;
  }
}

void AddWeightedRow(const KernelTable& kernels, const ExpertOutput& rows, int i, float weight,
                    float* scratch, float* out) {
  const int64_t n = rows.hidden_dim;
  const float* row = scratch;
  if (rows.format == RowFormat::kQuantized) {
    kernels.decode_f16_row(rows.f16.data() + i * n, n, rows.row_scale[i], scratch);
  } else {
    row = rows.f32.data() + i * n;
  }
  kernels.axpy(weight, row, n, out);
}

}  // namespace shoal
