#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

// The float primitives that every contract is built from, in plain code: what docs/arithmetic.md
// section 2 says. For *_scalar.cc files, packing and tests; vector files write them in intrinsics.
namespace shoal {

// f16 bits to f32, exact.
inline float F32FromF16(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000U) << 16;
  const uint32_t exponent = (h >> 10) & 0x1FU;
  const uint32_t mantissa = h & 0x3FFU;
  if (exponent == 0) {  // Zero and subnormals: units of 2^-24.
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000U | mantissa << 13);
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

// f32 to f16 bits, half to even, 65520 and above to infinity.
inline uint16_t F16FromF32(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t sign = (bits >> 16) & 0x8000U;
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  uint32_t half = 0;
  if (magnitude > 0x7F800000U) {
    half = 0x7E00U;
  } else if (magnitude >= 0x477FF000U) {
    half = 0x7C00U;
  } else if (magnitude < 0x38800000U) {  // Below 2^-14: 0.5 has an ulp of 2^-24, a subnormal's.
    half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) - 0x3F000000U;
  } else {
    half = ((magnitude + 0xFFFU + ((magnitude >> 13) & 1U)) >> 13) - (112U << 10);
  }
  return static_cast<uint16_t>(sign | half);
}

inline float F32FromBF16(uint16_t b) {
  return std::bit_cast<float>(static_cast<uint32_t>(b) << 16);
}

// Half of an E8M0 scale, 2^(e - 128), exact; 255 is that format's NaN.
inline float HalfOfE8M0(uint8_t e) {
  if (e == 255) return std::bit_cast<float>(0x7FC00000U);
  return std::bit_cast<float>(e < 2 ? 0x00200000U << e : (e - 1U) << 23);
}

// Adding this and taking it off again rounds |x| <= 2^22 to an integer, half to even; the sum's
// low bits are that integer.
inline constexpr float kRoundMagic = 0x1.8p23F;

inline int32_t RoundToInt(float x) {
  return static_cast<int32_t>(std::bit_cast<uint32_t>(x + kRoundMagic) -
                              std::bit_cast<uint32_t>(kRoundMagic));
}

// 2^n for n in [-126, 127].
inline float PowerOfTwo(int32_t n) {
  return std::bit_cast<float>(static_cast<uint32_t>(n + 127) << 23);
}

// e^x within 1.5 ulp; below -104 it is 0, above 89 infinity, of NaN NaN. exp(0) is exactly 1.
// x = n ln2 + r; a polynomial of degree 6 in r; 2^n in two steps, so that only the last rounds.
inline float Exp(float x) {
  x = x < -104.0F ? -104.0F : x;
  x = x > 89.0F ? 89.0F : x;
  const float shifted = std::fma(x, 0x1.715476p+0F, kRoundMagic);  // log2(e)
  const float n = shifted - kRoundMagic;
  float r = std::fma(n, -0x1.62e4p-1F, x);  // ln2, its upper 15 bits and the rest
  r = std::fma(n, -0x1.7f7d1cp-20F, r);
  float p = 0x1.6d110ap-10F;
  p = std::fma(p, r, 0x1.120b6ep-7F);
  p = std::fma(p, r, 0x1.55551ap-5F);
  p = std::fma(p, r, 0x1.5554dcp-3F);
  p = std::fma(p, r, 0.5F);
  p = std::fma(p, r, 1.0F);
  p = std::fma(p, r, 1.0F);
  const int32_t n_int =
      static_cast<int32_t>(std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(kRoundMagic));
  const int32_t half = n_int >> 1;
  const auto two_to = [](int32_t e) {  // NaN brings any n_int: unsigned, so that it may wrap.
    return std::bit_cast<float>((static_cast<uint32_t>(e) + 127U) << 23);
  };
  return p * two_to(half) *
         two_to(static_cast<int32_t>(static_cast<uint32_t>(n_int) - static_cast<uint32_t>(half)));
}

inline float Silu(float x) { return x / (1.0F + Exp(-x)); }
// x Phi(x), the tanh form: x / (1 + e^(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3); the constants
// are -2 sqrt(2 / pi) 0.044715 and -2 sqrt(2 / pi).
inline float Gelu(float x) {
  return x / (1.0F + Exp(x * std::fma(x * x, -0x1.2444f2p-4F, -0x1.988454p+0F)));
}
inline float Sigmoid(float x) { return 1.0F / (1.0F + Exp(-x)); }

// Sums in 16 virtual lanes: element i goes to lane i mod 16, ascending; a short last group is
// filled up with zeros; Sum adds the lanes as a fixed tree.
struct Lanes16 {
  float lane[16] = {};

  void AddProducts(const float* a, const float* b, int64_t n) {
    for (int64_t i = 0; i < n; i += 16) {
      for (int64_t l = 0; l < 16; ++l) {
        const bool inside = i + l < n;
        lane[l] = std::fma(inside ? a[i + l] : 0.0F, inside ? b[i + l] : 0.0F, lane[l]);
      }
    }
  }
  void Add(const float* a, int64_t n) {
    for (int64_t i = 0; i < n; i += 16) {
      for (int64_t l = 0; l < 16; ++l) lane[l] += i + l < n ? a[i + l] : 0.0F;
    }
  }
  void AddSquaredDistances(const float* a, float from, int64_t n) {
    for (int64_t i = 0; i < n; i += 16) {
      for (int64_t l = 0; l < 16; ++l) {
        const float d = i + l < n ? a[i + l] - from : 0.0F;
        lane[l] = std::fma(d, d, lane[l]);
      }
    }
  }
  float Sum() const {
    float s[8];
    for (int l = 0; l < 8; ++l) s[l] = lane[l] + lane[l + 8];
    for (int l = 0; l < 4; ++l) s[l] += s[l + 4];
    for (int l = 0; l < 2; ++l) s[l] += s[l + 2];
    return s[0] + s[1];
  }
};

inline float Dot16(const float* a, const float* b, int64_t n) {
  Lanes16 lanes;
  lanes.AddProducts(a, b, n);
  return lanes.Sum();
}

}  // namespace shoal
