#pragma once

#include <cstddef>

#include "absl/status/statusor.h"
#include "engine/activations.h"
#include "engine/causal_convolution.h"
#include "engine/engine_context.h"
#include "engine/matrix_loader.h"
#include "model/families/family.h"

namespace shoal {

// LFM2's short convolution: of B, C and x, all projections of a row, C * convolution(B * x), and an
// output projection (Liquid AI 2025, arXiv:2511.23404).
class ShortConvolution {
 public:
  static absl::StatusOr<ShortConvolution> Load(const EngineContext& context, const Family& family,
                                               int layer, MatrixLoader* loader, int thread_idx);

  // a->normed to a->block_out; the sequences' next states are what B * x of the last positions was.
  void Forward(const EngineContext& context, Activations* a) const;

  size_t n_bytes() const { return w_in_.n_bytes() + w_out_.n_bytes(); }

 private:
  ShortConvolution() = default;

  int layer_ = 0;
  PackedMatrix w_in_;   // [3 * hidden_dim, hidden_dim]: B, C, x
  PackedMatrix w_out_;  // [hidden_dim, hidden_dim]
  CausalConvolution convolution_;
};

}  // namespace shoal
