#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "model/dtype.h"

namespace shoal {

// The types that QuantizeWeights makes: Q8_0, Q5_0, Q4_0, Q4_K, Q5_K, Q6_K, IQ4_NL, MXFP4, TQ2_0,
// TQ1_0.
bool CanQuantize(DType dtype);

// A row of finite weights as blocks of a type, x.size() a multiple of its block: scales are
// searched for the least sum of importance[i] * (x[i] - stored[i])^2; without importance, all count
// alike. out: [RowBytes]. Plain arithmetic in a fixed order: the same bits everywhere.
void QuantizeWeights(DType dtype, std::span<const float> x, std::span<const float> importance,
                     std::byte* out);

}  // namespace shoal
