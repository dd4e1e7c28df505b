#pragma once

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/attention.h"
#include "engine/moe_layer.h"

namespace shoal {

// One pre-norm transformer layer: norm, attention, add; norm, experts, add (Vaswani et al. 2017,
// arXiv:1706.03762; RMS norm: Zhang and Sennrich 2019, arXiv:1910.07467).
class Layer {
 public:
  static absl::StatusOr<Layer> Load(const EngineContext& context, const Family& family, int layer,
                                    MatrixLoader* loader, int thread_idx);

  // Carries a->hidden through this layer.
  RowStatuses Forward(const EngineContext& context, const StepContext& step, StepObserver* observer,
                      Activations* a) const;

  size_t n_bytes() const { return attention_.n_bytes() + moe_.n_bytes(); }

 private:
  Layer(Attention attention, MoeLayer moe)
      : attention_(std::move(attention)), moe_(std::move(moe)) {}

  Attention attention_;
  MoeLayer moe_;
  std::vector<float> w_attn_norm_;  // [hidden_dim]
  std::vector<float> w_ffn_norm_;   // [hidden_dim]
};

// normed[t] = RMS norm of hidden[t] with weights w: [hidden_dim].
void NormRows(const EngineContext& context, MatView<const float> hidden,
              const std::vector<float>& w, MatView<float> normed);

}  // namespace shoal
