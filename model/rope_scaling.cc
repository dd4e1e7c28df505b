#include "model/rope_scaling.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace shoal {

std::vector<float> YarnDivisors(const YarnScaling& yarn, double rope_theta, int rope_dim) {
  // The pair that makes that many turns within the original context.
  const auto pair_of = [&](double n_turns) {
    return rope_dim *
           std::log(static_cast<double>(yarn.original_context) / (n_turns * 2 * std::numbers::pi)) /
           (2 * std::log(rope_theta));
  };
  double low = pair_of(yarn.beta_fast);
  double high = pair_of(yarn.beta_slow);
  if (yarn.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, rope_dim - 1.0);
  if (low == high) high += 0.001;  // A step.
  std::vector<float> divisors(static_cast<size_t>(rope_dim) / 2);
  for (size_t i = 0; i < divisors.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    divisors[i] = static_cast<float>(1 / (ramp / yarn.factor + (1 - ramp)));
  }
  return divisors;
}

double YarnMagnitude(double factor) { return factor <= 1 ? 1 : 0.1 * std::log(factor) + 1; }

}  // namespace shoal
