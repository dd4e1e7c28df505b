#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

// Functions in double from plain arithmetic and fma: the same bits on every machine, whatever its
// libm. For what is computed once a row or once a model.
namespace shoal {

inline constexpr double kLn2High = 0x1.62e42fefa39efp-1;
inline constexpr double kLn2Low = 0x1.abc9e3b39803fp-56;

// Rounds |x| < 2^51 to an integer, half to even.
inline double RoundDouble(double x) {
  constexpr double kMagic = 0x1.8p52;
  return (x + kMagic) - kMagic;
}

// Natural logarithm of a normal x > 0: x = m 2^e with m in [2/3, 4/3), ln m = 2 atanh((m-1)/(m+1)).
inline double LogDouble(double x) {
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
inline double ExpDouble(double x) {
  const double n = RoundDouble(x * (1.0 / kLn2High));
  const double r = std::fma(-n, kLn2Low, std::fma(-n, kLn2High, x));
  double sum = 1.0;
  for (int k = 13; k >= 1; --k) sum = std::fma(sum, r / k, 1.0);
  const uint64_t exponent = static_cast<uint64_t>(static_cast<int64_t>(n) + 1023);
  return sum * std::bit_cast<double>(exponent << 52);
}

}  // namespace shoal
