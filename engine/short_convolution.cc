#include "engine/short_convolution.h"

#include <algorithm>

#include "base/status_macros.h"

namespace shoal {
namespace {

constexpr int64_t kChannelsPerTask = 256;

}  // namespace

absl::StatusOr<ShortConvolution> ShortConvolution::Load(const EngineContext& context,
                                                        const Family& family, int layer,
                                                        MatrixLoader* loader, int thread_idx) {
  ShortConvolution block;
  block.layer_ = layer;
  const auto name = [&](TensorRole role) { return TensorName(family, role, layer); };
  SHOAL_ASSIGN_OR_RETURN(block.w_in_, loader->LoadMatrix(name(TensorRole::kConvIn), thread_idx));
  SHOAL_ASSIGN_OR_RETURN(block.w_out_, loader->LoadMatrix(name(TensorRole::kConvOut), thread_idx));
  SHOAL_ASSIGN_OR_RETURN(const std::vector<float> weights,
                         loader->LoadVector(name(TensorRole::kConv)));
  block.convolution_ = CausalConvolution(weights, context.config.hidden_dim);
  return block;
}

void ShortConvolution::Forward(const EngineContext& context, Activations* a) const {
  const int n = a->n_tokens;
  const int64_t hidden = context.config.hidden_dim;
  const int64_t width = 3 * hidden;
  MatView<float> bcx(a->channels.data(), n, width, a->channels.cols());
  a->product_input.Set(context.kernels, context.pool, a->normed.Rows(n), context.TakesInt8(w_in_));
  MatMul(context.kernels, context.pool, a->product_input, {{&w_in_, bcx}});

  const int64_t n_parts = (hidden + kChannelsPerTask - 1) / kChannelsPerTask;
  const auto n_tasks = static_cast<int64_t>(a->sequences.size()) * n_parts;
  context.pool->ParallelFor(n_tasks, 1, [&](int64_t task, int64_t, int) {
    const AttendChunk& rows = a->sequences[task / n_parts];
    const int64_t begin = task % n_parts * kChannelsPerTask;
    const int64_t end = std::min(begin + kChannelsPerTask, hidden);
    for (int t = rows.begin; t < rows.end; ++t) {  // B * x, in the place of B.
      float* const row = bcx.row(t);
      for (int64_t c = begin; c < end; ++c) row[c] *= row[2 * hidden + c];
    }
    const KvSequence& kv = *a->rows[rows.begin].kv;
    convolution_.Apply(context.kv_cache->State(kv, layer_), context.kv_cache->NextState(kv, layer_),
                       bcx.row(rows.begin), bcx.stride, rows.end - rows.begin, begin, end);
    for (int t = rows.begin; t < rows.end; ++t) {
      float* const row = bcx.row(t);
      for (int64_t c = begin; c < end; ++c) row[c] *= row[hidden + c];
    }
  });

  a->product_input.Set(context.kernels, context.pool, {bcx.data, n, hidden, bcx.stride},
                       context.TakesInt8(w_out_));
  MatMul(context.kernels, context.pool, a->product_input, {{&w_out_, a->block_out.Rows(n)}});
}

}  // namespace shoal
