#include "engine/causal_convolution.h"

#include <algorithm>

namespace shoal {

CausalConvolution::CausalConvolution(std::span<const float> weights, int64_t n_channels)
    : kernel_(static_cast<int64_t>(weights.size()) / n_channels),
      n_channels_(n_channels),
      taps_(weights.size()) {
  for (int64_t c = 0; c < n_channels; ++c) {
    for (int64_t j = 0; j < kernel_; ++j) taps_[j * n_channels + c] = weights[c * kernel_ + j];
  }
}

void CausalConvolution::Apply(const float* state, float* next_state, float* rows, int64_t stride,
                              int n_rows, int64_t begin, int64_t end) const {
  const int64_t past = kernel_ - 1;
  // Position p of the sequence's rows; those before the first one lie in the state.
  const auto input = [&](int64_t p) {
    return p < 0 ? state + (p + past) * n_channels_ : rows + p * stride;
  };
  for (int64_t j = 0; j < past; ++j) {
    const float* from = input(n_rows - past + j);
    std::copy(from + begin, from + end, next_state + j * n_channels_ + begin);
  }
  // The last position first, so that none is overwritten before it is read.
  constexpr int64_t kPiece = 64;
  for (int64_t r = n_rows - 1; r >= 0; --r) {
    for (int64_t c = begin; c < end; c += kPiece) {
      const int64_t n = std::min(kPiece, end - c);
      float acc[kPiece] = {};
      for (int64_t j = 0; j < kernel_; ++j) {
        const float* x = input(r - past + j) + c;
        const float* w = taps_.data() + j * n_channels_ + c;
        for (int64_t i = 0; i < n; ++i) acc[i] += w[i] * x[i];
      }
      std::copy_n(acc, n, rows + r * stride + c);
    }
  }
}

}  // namespace shoal
