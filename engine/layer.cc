#include "engine/layer.h"

#include <utility>

#include "base/status_macros.h"
#include "engine/engine.h"

namespace shoal {
namespace {

// Sums `out` over the ranks; adds to it the bias and norms it, where there are any; adds it,
// scaled, to the residual stream.
void AddToHidden(const EngineContext& context, const std::vector<float>& bias, const Norm& norm,
                 MatView<float> out, MatView<float> hidden) {
  context.exchange->AllReduce(out);
  const float scale = context.config.residual_scale;
  context.pool->ParallelFor(out.rows, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      if (!bias.empty()) context.kernels.add(bias.data(), out.cols, out.row(t));
      if (!norm.empty()) norm.Apply(context, out.row(t), out.row(t));
      if (scale == 1) {
        context.kernels.add(out.row(t), out.cols, hidden.row(t));
      } else {
        context.kernels.axpy(scale, out.row(t), out.cols, hidden.row(t));
      }
    }
  });
}

}  // namespace

absl::StatusOr<Layer::PositionMixer> Layer::LoadMixer(const EngineContext& context,
                                                      const Family& family, int layer,
                                                      MatrixLoader* loader, int thread_idx) {
  switch (context.config.MixerOf(layer)) {
    case Mixer::kAttention:
      if (!context.config.HasLatentAttention()) break;
      return LatentAttention::Load(context, family, layer, loader, thread_idx);
    case Mixer::kShortConvolution:
      return ShortConvolution::Load(context, family, layer, loader, thread_idx);
    case Mixer::kDeltaRule:
      return DeltaRule::Load(context, family, layer, loader, thread_idx);
  }
  return Attention::Load(context, family, layer, loader, thread_idx);
}

absl::StatusOr<Layer> Layer::Load(const EngineContext& context, const Family& family, int layer,
                                  MatrixLoader* loader, int thread_idx) {
  SHOAL_ASSIGN_OR_RETURN(PositionMixer mixer,
                         LoadMixer(context, family, layer, loader, thread_idx));
  SHOAL_ASSIGN_OR_RETURN(MoeLayer moe, MoeLayer::Load(context, family, layer, loader, thread_idx));
  Layer result(std::move(mixer), std::move(moe));
  const auto load = [&](TensorRole role, TensorRole bias_role) {
    return Norm::Load(context, family, role, bias_role, layer, loader);
  };
  using enum TensorRole;
  SHOAL_ASSIGN_OR_RETURN(result.attn_norm_, load(kAttnNorm, kAttnNormBias));
  SHOAL_ASSIGN_OR_RETURN(result.ffn_norm_, load(kFfnNorm, kFfnNormBias));
  SHOAL_ASSIGN_OR_RETURN(result.attn_post_norm_, load(kAttnPostNorm, kAttnNormBias));
  SHOAL_ASSIGN_OR_RETURN(result.ffn_post_norm_, load(kFfnPostNorm, kFfnNormBias));
  SHOAL_ASSIGN_OR_RETURN(result.output_bias_,
                         loader->LoadRole(context.config, family, kAttnOutputBias, layer));
  return result;
}

RowStatuses Layer::Forward(const EngineContext& context, const StepContext& step,
                           StepObserver* observer, Activations* a) const {
  const MatView<float> hidden = a->hidden.Rows(a->n_tokens);
  const MatView<float> normed = a->normed.Rows(a->n_tokens);
  const MatView<float> out = a->block_out.Rows(a->n_tokens);
  attn_norm_.ApplyToRows(context, hidden, normed);
  std::visit([&](const auto& mixer) { mixer.Forward(context, a); }, mixer_);
  AddToHidden(context, output_bias_, attn_post_norm_, out, hidden);
  if (observer != nullptr) observer->OnPartDone(StepPart::kAttention);
  ffn_norm_.ApplyToRows(context, hidden, normed);
  RowStatuses statuses = moe_.Forward(context, step, observer, a);
  AddToHidden(context, {}, ffn_post_norm_, out, hidden);
  if (observer != nullptr) observer->OnPartDone(StepPart::kExperts);
  return statuses;
}

size_t Layer::n_bytes() const {
  return std::visit([](const auto& mixer) { return mixer.n_bytes(); }, mixer_) + moe_.n_bytes();
}

}  // namespace shoal
