#include "kernels/rope.h"

#include <cmath>
#include <cstdint>

#include "kernels/double_math.h"

// Angles in double: the same bits on every machine.
namespace shoal {
namespace {

constexpr double kHalfPiHigh = 0x1.921fb54442d18p+0;
constexpr double kHalfPiLow = 0x1.1a62633145c07p-54;
constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;

struct SinCos {
  double sin;
  double cos;
};

// For |x| < 2^30: x = n pi/2 + r, Taylor to r^19 and r^18.
SinCos SinAndCos(double x) {
  const double n = RoundDouble(x * kTwoOverPi);
  const double r = std::fma(-n, kHalfPiLow, std::fma(-n, kHalfPiHigh, x));
  const double r2 = r * r;
  double sin = 1.0;
  for (int k = 18; k >= 2; k -= 2) sin = std::fma(sin, -r2 / (k * (k + 1)), 1.0);
  sin *= r;
  double cos = 1.0;
  for (int k = 17; k >= 1; k -= 2) cos = std::fma(cos, -r2 / (k * (k + 1)), 1.0);
  switch (static_cast<int64_t>(n) & 3) {
    case 0:
      return {sin, cos};
    case 1:
      return {cos, -sin};
    case 2:
      return {-sin, -cos};
    default:
      return {-cos, sin};
  }
}

}  // namespace

std::vector<double> RopeFrequencies(double theta, int dim) {
  std::vector<double> frequencies(static_cast<size_t>(dim) / 2);
  const double log_theta = LogDouble(theta);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double exponent = static_cast<double>(2 * i) / static_cast<double>(dim);
    frequencies[i] = ExpDouble(-exponent * log_theta);
  }
  return frequencies;
}

float AttentionTemperature(int64_t position, int floor, float scale) {
  const int64_t n_floors = (position + 1) / floor;  // Rounded down: it grows in steps.
  const double n = 1.0 + static_cast<double>(n_floors);
  return static_cast<float>(std::fma(static_cast<double>(scale), LogDouble(n), 1.0));
}

void RopeAngles(int64_t position, std::span<const double> frequencies, float* cos, float* sin,
                double magnitude) {
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const SinCos angle = SinAndCos(static_cast<double>(position) * frequencies[i]);
    cos[i] = static_cast<float>(angle.cos * magnitude);
    sin[i] = static_cast<float>(angle.sin * magnitude);
  }
}

}  // namespace shoal
