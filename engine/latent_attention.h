#pragma once

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/activations.h"
#include "engine/engine_context.h"
#include "engine/matrix_loader.h"
#include "model/families/family.h"

namespace shoal {

// Which rows of a matrix are a head's: `length` from `begin` on in every `period`; or they are its
// columns.
struct HeadCut {
  int64_t period = 0;
  int64_t begin = 0;
  int64_t length = 0;
  bool transposed = false;
};

// A matrix for each head: [n_heads, rows, cols].
class HeadMatrices {
 public:
  static absl::StatusOr<HeadMatrices> Load(const std::string& name, int n_heads,
                                           MatrixLoader* loader, int thread_idx);
  // Out of one matrix that has the rows of all heads.
  static absl::StatusOr<HeadMatrices> LoadCut(const std::string& name, int n_heads,
                                              const HeadCut& cut, MatrixLoader* loader,
                                              int thread_idx);

  // y[t][h] = w[h] x[t][h] for each row t and head h. x: [n_tokens, n_heads] vectors of `cols`, one
  // every x_stride; y: each row's heads begin every y_stride.
  void Multiply(const EngineContext& context, MatView<const float> x, int64_t x_stride,
                MatView<float> y, int64_t y_stride, ProductInput* input) const;

  size_t n_bytes() const;

 private:
  std::vector<PackedMatrix> w_;
};

// Multi-head latent attention (DeepSeek 2024, arXiv:2405.04434) in its absorbed form: a head's
// query goes through its key matrix, so that all heads look at one row a position, the latent and a
// rotary part, and what they see is the latent, which then goes through the head's value matrix.
class LatentAttention {
 public:
  static absl::StatusOr<LatentAttention> Load(const EngineContext& context, const Family& family,
                                              int layer, MatrixLoader* loader, int thread_idx);

  // a->normed to a->block_out; appends the rows' latents to the cache.
  void Forward(const EngineContext& context, Activations* a) const;

  size_t n_bytes() const;

 private:
  LatentAttention() = default;
  void Project(const EngineContext& context, Activations* a) const;
  void RotateAndStore(const EngineContext& context, Activations* a) const;

  int layer_ = 0;
  PackedMatrix w_q_a_;            // [q_lora_rank, hidden_dim], empty without a queries' latent
  std::vector<float> w_q_norm_;   // [q_lora_rank]
  PackedMatrix w_q_;              // [n_heads * (nope_dim + rope_dim), q_lora_rank or hidden_dim]
  PackedMatrix w_kv_;             // [kv_lora_rank + rope_dim, hidden_dim]
  std::vector<float> w_kv_norm_;  // [kv_lora_rank]
  HeadMatrices w_k_;              // [n_heads, kv_lora_rank, nope_dim]
  HeadMatrices w_v_;              // [n_heads, v_head_dim, kv_lora_rank]
  PackedMatrix w_o_;              // [hidden_dim, n_heads * v_head_dim]
};

}  // namespace shoal
