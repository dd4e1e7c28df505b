#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "engine/engine_context.h"
#include "engine/matrix_loader.h"
#include "model/families/family.h"
#include "model/mat.h"

namespace shoal {

// A norm of whole rows [hidden_dim], of the kind that the model has: RMS (Zhang and Sennrich 2019,
// arXiv:1910.07467) or LayerNorm (Ba et al. 2016, arXiv:1607.06450).
class Norm {
 public:
  // A norm that a model lacks is empty. `bias_role` counts for LayerNorm.
  static absl::StatusOr<Norm> Load(const EngineContext& context, const Family& family,
                                   TensorRole role, TensorRole bias_role, int layer,
                                   MatrixLoader* loader);

  bool empty() const { return w_.empty(); }
  // out may be x.
  void Apply(const EngineContext& context, const float* x, float* out) const;
  void ApplyToRows(const EngineContext& context, MatView<const float> x, MatView<float> out) const;

 private:
  std::vector<float> w_;     // [hidden_dim]
  std::vector<float> bias_;  // [hidden_dim] of LayerNorm
};

}  // namespace shoal
