#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/kernel_table.h"

// Angles in double from plain arithmetic and fma: the same bits on every machine, whatever its
// libm.
namespace shoal {
namespace {

constexpr double kLn2High = 0x1.62e42fefa39efp-1;
constexpr double kLn2Low = 0x1.abc9e3b39803fp-56;
constexpr double kHalfPiHigh = 0x1.921fb54442d18p+0;
constexpr double kHalfPiLow = 0x1.1a62633145c07p-54;
constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;

// Rounds |x| < 2^51 to an integer, half to even.
double Round(double x) {
  constexpr double kMagic = 0x1.8p52;
  return (x + kMagic) - kMagic;
}

// Natural logarithm of a normal x > 0: x = m 2^e with m in [2/3, 4/3), ln m = 2 atanh((m-1)/(m+1)).
double Log(double x) {
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  int64_t e = static_cast<int64_t>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0xFFFFFFFFFFFFFULL) | 0x3FF0000000000000ULL);
  if (m >= 4.0 / 3.0) {
    m *= 0.5;
    ++e;
  }
  const double s = (m - 1.0) / (m + 1.0);
  const double s2 = s * s;
  double sum = 0.0;
  for (int k = 25; k >= 1; k -= 2) sum = std::fma(sum, s2, 1.0 / k);
  const double n = static_cast<double>(e);
  return std::fma(n, kLn2High, std::fma(n, kLn2Low, 2.0 * s * sum));
}

// e^x for |x| < 700: x = n ln2 + r, Taylor to r^13.
double ExpDouble(double x) {
  const double n = Round(x * (1.0 / kLn2High));
  const double r = std::fma(-n, kLn2Low, std::fma(-n, kLn2High, x));
  double sum = 1.0;
  for (int k = 13; k >= 1; --k) sum = std::fma(sum, r / k, 1.0);
  const uint64_t exponent = static_cast<uint64_t>(static_cast<int64_t>(n) + 1023);
  return sum * std::bit_cast<double>(exponent << 52);
}

struct SinCos {
  double sin;
  double cos;
};

// For |x| < 2^30: x = n pi/2 + r, Taylor to r^19 and r^18.
SinCos SinAndCos(double x) {
  const double n = Round(x * kTwoOverPi);
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
  const double log_theta = Log(theta);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double exponent = static_cast<double>(2 * i) / static_cast<double>(dim);
    frequencies[i] = ExpDouble(-exponent * log_theta);
  }
  return frequencies;
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
