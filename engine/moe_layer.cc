#include "engine/moe_layer.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/status_macros.h"
#include "engine/engine.h"
#include "engine/top_k.h"
#include "kernels/scalar_math.h"

namespace shoal {

absl::StatusOr<MoeLayer> MoeLayer::Load(const EngineContext& context, const Family& family,
                                        int layer, MatrixLoader* loader, int thread_idx) {
  MoeLayer moe;
  moe.layer_ = layer;
  for (const auto& [role, matrix] : {std::pair{TensorRole::kFfnGateInp, &moe.w_router_},
                                     std::pair{TensorRole::kSharedGateInp, &moe.w_shared_gate_}}) {
    const TensorSpec* spec = FindSpec(family, role);
    if (spec == nullptr || !Applies(*spec, context.config, layer)) continue;
    SHOAL_ASSIGN_OR_RETURN(*matrix, loader->LoadMatrix(TensorName(*spec, layer), thread_idx));
  }
  for (const auto& [role, vector] : {std::pair{TensorRole::kFfnGateInpBias, &moe.router_bias_},
                                     std::pair{TensorRole::kChoiceBias, &moe.choice_bias_}}) {
    SHOAL_ASSIGN_OR_RETURN(*vector, loader->LoadRole(context.config, family, role, layer));
  }
  return moe;
}

RowStatuses MoeLayer::Forward(const EngineContext& context, const StepContext& step,
                              StepObserver* observer, Activations* a) const {
  const int n = a->n_tokens;
  const int n_picks = context.config.NumPicks(layer_);
  if (context.config.IsDense(layer_)) {
    std::fill_n(a->topk_ids.begin(), n, 0);
    std::fill_n(a->topk_weights.begin(), n, 1.0F);
  } else {
    Route(context, n_picks, a);
  }
  const size_t n_pairs = size_t(n) * n_picks;
  const Routing routing{.n_tokens = n,
                        .top_k = n_picks,
                        .topk_ids = {a->topk_ids.data(), n_pairs},
                        .topk_weights = {a->topk_weights.data(), n_pairs}};
  if (observer != nullptr) {
    observer->OnRouting(layer_, routing);
    observer->OnPartDone(StepPart::kGate);
  }

  if (context.config.weighted_inputs && !context.config.IsDense(layer_)) {
    return ForwardWeighted(context, step, routing, a);
  }
  ExpertCall call = context.experts->Start(layer_, a->normed.Rows(n), routing, step);
  const MatView<float> out = a->block_out.Rows(n);
  context.pool->ParallelFor(n, 16, [&](int64_t begin, int64_t end, int) {
    std::fill(out.row(begin), out.row(begin) + (end - begin) * out.cols, 0.0F);
  });
  return context.experts->Finish(std::move(call), out);
}

// Every pick of a row is a row of its own here, weighted before the call and added up after it.
RowStatuses MoeLayer::ForwardWeighted(const EngineContext& context, const StepContext& step,
                                      const Routing& routing, Activations* a) const {
  const int n = routing.n_tokens * routing.top_k;
  const int64_t hidden = a->normed.cols();
  context.pool->ParallelFor(n, 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const float* x = a->normed.row(i / routing.top_k);
      for (int64_t d = 0; d < hidden; ++d) a->weighted.row(i)[d] = x[d] * routing.topk_weights[i];
    }
  });
  const Routing expanded{.n_tokens = n,
                         .top_k = 1,
                         .topk_ids = routing.topk_ids,
                         .topk_weights = std::span(a->ones).first(static_cast<size_t>(n))};
  ExpertCall call = context.experts->Start(layer_, a->weighted.Rows(n), expanded, step);
  const MatView<float> out = a->weighted_out.Rows(n);
  std::fill(out.data, out.data + n * hidden, 0.0F);
  const RowStatuses expanded_statuses = context.experts->Finish(std::move(call), out);
  RowStatuses statuses;
  for (int t = 0; t < routing.n_tokens; ++t) {
    float* const sum = a->block_out.row(t);
    std::fill_n(sum, hidden, 0.0F);
    absl::Status status;
    for (int i = t * routing.top_k; i < (t + 1) * routing.top_k; ++i) {
      context.kernels.add(out.row(i), hidden, sum);
      if (!expanded_statuses.ok()) status.Update(expanded_statuses.row(i));
    }
    if (!status.ok()) statuses.Fail(t, std::move(status));
  }
  return statuses;
}

// The routed picks of each row, then the shared expert if there is one.
void MoeLayer::Route(const EngineContext& context, int n_picks, Activations* a) const {
  const ModelConfig& config = context.config;
  const int n = a->n_tokens;
  const MatView<float> router_logits = a->router_logits.Rows(n);
  a->product_input.Set(context.kernels, context.pool, a->normed.Rows(n),
                       context.TakesInt8(w_router_));
  MatMul(context.kernels, context.pool, a->product_input, {{&w_router_, router_logits}});
  for (int t = 0; t < n && !router_bias_.empty(); ++t) {
    context.kernels.add(router_bias_.data(), config.n_experts, router_logits.row(t));
  }
  context.pool->ParallelFor(n, 16, [&](int64_t begin, int64_t end, int) {
    const MatView<float> logits = router_logits.Rows(begin, end - begin);
    int32_t* const ids = a->topk_ids.data() + begin * n_picks;
    float* const weights = a->topk_weights.data() + begin * n_picks;
    if (config.gating == Gating::kSparseMixer) {
      SelectBySparseMixer(context.kernels, logits, config.router_jitter, n_picks, ids, weights);
    } else {
      SelectTopK(context.kernels, config, choice_bias_, logits, n_picks, ids, weights);
    }
  });
  if (!config.HasSharedExpert(layer_)) return;
  const MatView<float> shared_logits = a->shared_logits.Rows(n);
  if (!w_shared_gate_.empty()) {
    MatMul(context.kernels, context.pool, a->product_input, {{&w_shared_gate_, shared_logits}});
  }
  for (int t = 0; t < n; ++t) {
    const int i = t * n_picks + config.top_k;
    a->topk_ids[i] = config.n_experts;
    a->topk_weights[i] = w_shared_gate_.empty() ? 1.0F : Sigmoid(*shared_logits.row(t));
  }
}

}  // namespace shoal
