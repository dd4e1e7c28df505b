#pragma once

#include <cstddef>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/attention.h"
#include "engine/delta_rule.h"
#include "engine/latent_attention.h"
#include "engine/moe_layer.h"
#include "engine/norm.h"
#include "engine/short_convolution.h"

namespace shoal {

// One pre-norm transformer layer: norm, attention or what stands for it, add; norm, experts, add
// (Vaswani et al. 2017, arXiv:1706.03762). Some models norm what is added, too.
class Layer {
 public:
  static absl::StatusOr<Layer> Load(const EngineContext& context, const Family& family, int layer,
                                    MatrixLoader* loader, int thread_idx);

  // Carries a->hidden through this layer.
  RowStatuses Forward(const EngineContext& context, const StepContext& step, StepObserver* observer,
                      Activations* a) const;

  size_t n_bytes() const;

 private:
  // What lets positions see each other.
  using PositionMixer = std::variant<Attention, LatentAttention, ShortConvolution, DeltaRule>;
  static absl::StatusOr<PositionMixer> LoadMixer(const EngineContext& context, const Family& family,
                                                 int layer, MatrixLoader* loader, int thread_idx);

  Layer(PositionMixer mixer, MoeLayer moe) : mixer_(std::move(mixer)), moe_(std::move(moe)) {}

  PositionMixer mixer_;
  MoeLayer moe_;
  Norm attn_norm_;
  Norm ffn_norm_;
  Norm attn_post_norm_;  // Empty in most models, as is the next.
  Norm ffn_post_norm_;
  std::vector<float> output_bias_;  // [hidden_dim] of attention's output; empty without
};

}  // namespace shoal
