#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/activations.h"
#include "engine/engine_context.h"
#include "engine/matrix_loader.h"
#include "model/families/family.h"

namespace shoal {

// Grouped-query attention over the paged cache (Ainslie et al. 2023, arXiv:2305.13245; rotary
// positions: Su et al. 2021, arXiv:2104.09864).
class Attention {
 public:
  static absl::StatusOr<Attention> Load(const EngineContext& context, const Family& family,
                                        int layer, MatrixLoader* loader, int thread_idx);

  // a->normed to a->block_out, this rank's share; appends the rows' keys and values to the cache.
  void Forward(const EngineContext& context, Activations* a) const;

  size_t n_bytes() const {
    return w_q_.n_bytes() + w_k_.n_bytes() + w_v_.n_bytes() + w_o_.n_bytes();
  }

 private:
  Attention() = default;
  void Project(const EngineContext& context, Activations* a) const;
  void RotateAndStore(const EngineContext& context, Activations* a) const;
  void Gate(const EngineContext& context, Activations* a) const;

  int layer_ = 0;
  LayerConfig options_;
  PackedMatrix w_q_;             // [n_heads * head_dim, hidden_dim]; twice as many with gates
  PackedMatrix w_k_;             // [n_kv_heads * head_dim, hidden_dim]
  PackedMatrix w_v_;             // [n_kv_heads * head_dim, hidden_dim]
  PackedMatrix w_o_;             // [hidden_dim, n_heads * head_dim]
  std::vector<float> w_q_norm_;  // [head_dim] or [n_heads * head_dim]; empty without norms
  std::vector<float> w_k_norm_;  // [head_dim] or [n_kv_heads * head_dim]
  std::vector<float> q_bias_;    // As many as rows of w_q_; empty without biases
  std::vector<float> k_bias_;
  std::vector<float> v_bias_;
  std::vector<float> sinks_;  // [n_heads], empty without
};

// a->q against the layer's keys and values in the cache to a->attended, each query over its own
// position and those before, in the window or chunk of `options`. sinks: [n_heads] or empty.
void Attend(const EngineContext& context, int layer, const LayerConfig& options,
            std::span<const float> sinks, Activations* a);

}  // namespace shoal
