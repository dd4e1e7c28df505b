#pragma once

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/activations.h"
#include "engine/causal_convolution.h"
#include "engine/engine_context.h"
#include "engine/matrix_loader.h"
#include "model/families/family.h"

namespace shoal {

// The gated delta rule (Yang et al. 2024, arXiv:2412.06464), as Qwen3-Next has it: each value head
// keeps a matrix from keys to values that decays and is corrected at every position. Computed
// position by position, in prefill too.
class DeltaRule {
 public:
  static absl::StatusOr<DeltaRule> Load(const EngineContext& context, const Family& family,
                                        int layer, MatrixLoader* loader, int thread_idx);

  // a->normed to a->block_out; the sequences' next states are the convolution's and the heads'.
  void Forward(const EngineContext& context, Activations* a) const;

  size_t n_bytes() const {
    return w_qkv_.n_bytes() + w_gate_.n_bytes() + w_ba_.n_bytes() + w_out_.n_bytes();
  }

 private:
  DeltaRule() = default;
  void Project(const EngineContext& context, Activations* a) const;
  void Convolve(const EngineContext& context, Activations* a) const;
  void NormKeysAndQueries(const EngineContext& context, Activations* a) const;
  void RunHeads(const EngineContext& context, Activations* a) const;
  void RunHead(const EngineContext& context, const AttendChunk& rows, int head,
               Activations* a) const;
  void GateOutputs(const EngineContext& context, Activations* a) const;

  int layer_ = 0;
  PackedMatrix w_qkv_;   // [DeltaChannels(), hidden_dim]: all q, all k, all v
  PackedMatrix w_gate_;  // [DeltaValues(), hidden_dim]
  PackedMatrix w_ba_;    // [2 * delta_value_heads, hidden_dim]
  PackedMatrix w_out_;   // [hidden_dim, DeltaValues()]
  CausalConvolution convolution_;
  std::vector<float> ones_;     // [DeltaChannels()]
  std::vector<float> a_;        // [delta_value_heads], below 0
  std::vector<float> dt_bias_;  // [delta_value_heads]
  std::vector<float> w_norm_;   // [delta_value_dim]
  std::vector<float> w_q_;      // [delta_key_dim], all 1 / delta_key_dim
  std::vector<float> w_k_;      // [delta_key_dim], all 1 / sqrt(delta_key_dim)
};

}  // namespace shoal
