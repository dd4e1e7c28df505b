#include "engine/layer.h"

#include <utility>

#include "base/status_macros.h"

namespace shoal {
namespace {

// Sums `out` over the ranks and adds it, scaled, to the residual stream.
void AddToHidden(const EngineContext& context, MatView<float> out, MatView<float> hidden) {
  context.exchange->AllReduce(out);
  const float scale = context.config.residual_scale;
  context.pool->ParallelFor(out.rows, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      if (scale == 1) {
        context.kernels.add(out.row(t), out.cols, hidden.row(t));
      } else {
        context.kernels.axpy(scale, out.row(t), out.cols, hidden.row(t));
      }
    }
  });
}

}  // namespace

void NormRows(const EngineContext& context, MatView<const float> hidden,
              const std::vector<float>& w, MatView<float> normed) {
  context.pool->ParallelFor(hidden.rows, 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      context.kernels.rms_norm(hidden.row(t), w.data(), hidden.cols, context.config.rms_norm_eps,
                               normed.row(t));
    }
  });
}

absl::StatusOr<Layer> Layer::Load(const EngineContext& context, const Family& family, int layer,
                                  MatrixLoader* loader, int thread_idx) {
  SHOAL_ASSIGN_OR_RETURN(Attention attention,
                         Attention::Load(context, family, layer, loader, thread_idx));
  SHOAL_ASSIGN_OR_RETURN(MoeLayer moe, MoeLayer::Load(context, family, layer, loader, thread_idx));
  Layer result(std::move(attention), std::move(moe));
  SHOAL_ASSIGN_OR_RETURN(result.w_attn_norm_,
                         loader->LoadVector(TensorName(family, TensorRole::kAttnNorm, layer)));
  SHOAL_ASSIGN_OR_RETURN(result.w_ffn_norm_,
                         loader->LoadVector(TensorName(family, TensorRole::kFfnNorm, layer)));
  return result;
}

RowStatuses Layer::Forward(const EngineContext& context, const StepContext& step,
                           StepObserver* observer, Activations* a) const {
  const MatView<float> hidden = a->hidden.Rows(a->n_tokens);
  const MatView<float> normed = a->normed.Rows(a->n_tokens);
  const MatView<float> out = a->block_out.Rows(a->n_tokens);
  NormRows(context, hidden, w_attn_norm_, normed);
  attention_.Forward(context, a);
  AddToHidden(context, out, hidden);
  NormRows(context, hidden, w_ffn_norm_, normed);
  RowStatuses statuses = moe_.Forward(context, step, observer, a);
  AddToHidden(context, out, hidden);
  return statuses;
}

}  // namespace shoal
