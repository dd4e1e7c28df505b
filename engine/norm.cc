#include "engine/norm.h"

#include <cstdint>

#include "base/status_macros.h"

namespace shoal {

absl::StatusOr<Norm> Norm::Load(const EngineContext& context, const Family& family, TensorRole role,
                                TensorRole bias_role, int layer, MatrixLoader* loader) {
  Norm norm;
  SHOAL_ASSIGN_OR_RETURN(norm.w_, loader->LoadRole(context.config, family, role, layer));
  if (norm.empty() || context.config.norm != NormKind::kLayer) return norm;
  SHOAL_ASSIGN_OR_RETURN(norm.bias_, loader->LoadRole(context.config, family, bias_role, layer));
  return norm;
}

void Norm::Apply(const EngineContext& context, const float* x, float* out) const {
  const auto n = static_cast<int64_t>(w_.size());
  const float eps = context.config.rms_norm_eps;
  if (context.config.norm == NormKind::kLayer) {
    context.kernels.layer_norm(x, w_.data(), bias_.data(), n, eps, out);
  } else {
    context.kernels.rms_norm(x, w_.data(), n, eps, out);
  }
}

void Norm::ApplyToRows(const EngineContext& context, MatView<const float> x,
                       MatView<float> out) const {
  context.pool->ParallelFor(x.rows, 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) Apply(context, x.row(t), out.row(t));
  });
}

}  // namespace shoal
