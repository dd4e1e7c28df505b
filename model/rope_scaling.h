#pragma once

#include <cstdint>
#include <vector>

namespace shoal {

// YaRN's stretching of rope (Peng et al. 2023, arXiv:2309.00071). Pairs that turn more often than
// beta_fast times in the original context stay, those below beta_slow turns are interpolated by
// `factor`, in between a ramp.
struct YarnScaling {
  double factor = 1;
  int64_t original_context = 0;
  double beta_fast = 32;
  double beta_slow = 1;
  bool truncate = true;  // The ramp's ends are whole pairs.
};

// [rope_dim / 2]: what the frequency theta^(-2i / rope_dim) of each pair is divided by.
std::vector<float> YarnDivisors(const YarnScaling& yarn, double rope_theta, int rope_dim);

// What YaRN multiplies cosines and sines by: 0.1 ln(factor) + 1, or 1 where nothing is stretched.
double YarnMagnitude(double factor);

}  // namespace shoal
