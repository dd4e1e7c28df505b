#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace shoal {

// A convolution of each channel over its last `kernel` positions. It keeps what it needs of past
// positions in a state: [kernel - 1, n_channels] f32, oldest first.
class CausalConvolution {
 public:
  CausalConvolution() = default;
  // weights: [n_channels, kernel], the oldest position's first.
  CausalConvolution(std::span<const float> weights, int64_t n_channels);

  int64_t n_channels() const { return n_channels_; }
  int64_t state_floats() const { return (kernel_ - 1) * n_channels_; }

  // Channels [begin, end) of `n_rows` consecutive positions of one sequence, in place; row r begins
  // at rows + r * stride. `next_state` gets what follows `state`. With acc from +0 and the oldest
  // position first, acc = acc + w * x, each rounded by itself.
  void Apply(const float* state, float* next_state, float* rows, int64_t stride, int n_rows,
             int64_t begin, int64_t end) const;

 private:
  int64_t kernel_ = 0;
  int64_t n_channels_ = 0;
  std::vector<float> taps_;  // [kernel, n_channels]
};

}  // namespace shoal
