#include "engine/moe_layer.h"

#include <algorithm>

#include "base/status_macros.h"
#include "engine/engine.h"
#include "engine/top_k.h"

namespace shoal {

absl::StatusOr<MoeLayer> MoeLayer::Load(const EngineContext& /*context*/, const Family& family,
                                        int layer, MatrixLoader* loader, int thread_idx) {
  MoeLayer moe;
  moe.layer_ = layer;
  SHOAL_ASSIGN_OR_RETURN(
      moe.w_router_,
      loader->LoadMatrix(TensorName(family, TensorRole::kFfnGateInp, layer), thread_idx));
  return moe;
}

RowStatuses MoeLayer::Forward(const EngineContext& context, const StepContext& step,
                              StepObserver* observer, Activations* a) const {
  const int n = a->n_tokens;
  const MatView<float> router_logits = a->router_logits.Rows(n);
  a->product_input.Set(context.kernels, context.pool, a->normed.Rows(n),
                       context.TakesInt8(w_router_));
  MatMul(context.kernels, context.pool, a->product_input, {{&w_router_, router_logits}});
  SelectTopK(context.kernels, router_logits, context.config.top_k, context.config.norm_topk_prob,
             a->topk_ids.data(), a->topk_weights.data());
  const size_t n_pairs = size_t(n) * context.config.top_k;
  const Routing routing{.n_tokens = n,
                        .top_k = context.config.top_k,
                        .topk_ids = {a->topk_ids.data(), n_pairs},
                        .topk_weights = {a->topk_weights.data(), n_pairs}};
  if (observer != nullptr) observer->OnRouting(layer_, routing);

  ExpertCall call = context.experts->Start(layer_, a->normed.Rows(n), routing, step);
  const MatView<float> out = a->block_out.Rows(n);
  std::fill(out.data, out.data + n * out.cols, 0.0F);
  return context.experts->Finish(std::move(call), out);
}

}  // namespace shoal
