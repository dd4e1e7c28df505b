#pragma once

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/activations.h"
#include "engine/engine_context.h"
#include "engine/matrix_loader.h"
#include "model/families/family.h"

namespace shoal {

class StepObserver;

// The mixture-of-experts block (Shazeer et al. 2017, arXiv:1701.06538): scores, choice, experts. A
// dense layer's block is one expert that every row takes.
class MoeLayer {
 public:
  static absl::StatusOr<MoeLayer> Load(const EngineContext& context, const Family& family,
                                       int layer, MatrixLoader* loader, int thread_idx);

  // a->normed to a->block_out; rows whose experts could not be reached fail one by one.
  RowStatuses Forward(const EngineContext& context, const StepContext& step, StepObserver* observer,
                      Activations* a) const;

  size_t n_bytes() const { return w_router_.n_bytes(); }

 private:
  MoeLayer() = default;

  RowStatuses ForwardWeighted(const EngineContext& context, const StepContext& step,
                              const Routing& routing, Activations* a) const;
  void Route(const EngineContext& context, int n_picks, Activations* a) const;

  int layer_ = 0;
  PackedMatrix w_router_;           // [n_experts, hidden_dim], empty in a dense layer
  std::vector<float> router_bias_;  // [n_experts] added to logits, empty without
  std::vector<float> choice_bias_;  // [n_experts] of ModelConfig::choice_bias, empty without
  PackedMatrix w_shared_gate_;      // [1, hidden_dim], empty where the shared expert has no gate
};

}  // namespace shoal
