#pragma once

#include <immintrin.h>
#include <stdint.h>

// The 16 virtual lanes of docs/arithmetic.md as two registers. For *_avx2.cc and *_avxvnni.cc
// files alone: all of it is private to the file that includes it. f32x16_avx512.h has the same
// names.
namespace shoal {
namespace {

struct F32x16 {
  __m256 low;
  __m256 high;
};

inline F32x16 Broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline F32x16 Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline F32x16 Load(const uint16_t* p) {  // f16
  const __m128i* halves = reinterpret_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
}
inline F32x16 LoadBf16(const uint16_t* p) {
  const __m128i* uppers = reinterpret_cast<const __m128i*>(p);
  const __m256i low = _mm256_cvtepu16_epi32(_mm_loadu_si128(uppers));
  const __m256i high = _mm256_cvtepu16_epi32(_mm_loadu_si128(uppers + 1));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(low, 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(high, 16))};
}
inline void Store(float* p, F32x16 v) {
  _mm256_storeu_ps(p, v.low);
  _mm256_storeu_ps(p + 8, v.high);
}

// The first n of 16, 0 < n < 16; the rest are zeros, or are left alone.
template <typename T>
inline F32x16 LoadFirst(const T* p, int64_t n) {
  T buffer[16] = {};
  __builtin_memcpy(buffer, p, static_cast<size_t>(n) * sizeof(T));
  return Load(buffer);
}
inline void StoreFirst(float* p, int64_t n, F32x16 v) {
  float buffer[16];
  Store(buffer, v);
  __builtin_memcpy(p, buffer, static_cast<size_t>(n) * sizeof(float));
}
// Lanes n and on become `other`'s; 0 < n <= 16.
inline F32x16 KeepFirst(F32x16 v, int64_t n, F32x16 other) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i count = _mm256_set1_epi32(static_cast<int32_t>(n));
  const __m256i keep_low = _mm256_cmpgt_epi32(count, lane);
  const __m256i keep_high = _mm256_cmpgt_epi32(count, _mm256_add_epi32(lane, _mm256_set1_epi32(8)));
  return {_mm256_blendv_ps(other.low, v.low, _mm256_castsi256_ps(keep_low)),
          _mm256_blendv_ps(other.high, v.high, _mm256_castsi256_ps(keep_high))};
}

inline F32x16 Add(F32x16 a, F32x16 b) {
  return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
inline F32x16 Sub(F32x16 a, F32x16 b) {
  return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
inline F32x16 Mul(F32x16 a, F32x16 b) {
  return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
inline F32x16 Div(F32x16 a, F32x16 b) {
  return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
inline F32x16 Max(F32x16 a, F32x16 b) {
  return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
inline F32x16 Fma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
inline F32x16 Negate(F32x16 a) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  return {_mm256_xor_ps(a.low, sign), _mm256_xor_ps(a.high, sign)};
}

// The tree over lanes.
inline float Sum(F32x16 v) {
  const __m256 s8 = _mm256_add_ps(v.low, v.high);
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}
// The same for four at once: out[i] = Sum(v[i]) * factor.
inline void StoreFourSums(const F32x16* v, float factor, float* out) {
  __m128 s4[4];
  for (int i = 0; i < 4; ++i) {
    const __m256 s8 = _mm256_add_ps(v[i].low, v[i].high);
    s4[i] = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  }
  const __m128 s2_01 = _mm_add_ps(_mm_movelh_ps(s4[0], s4[1]), _mm_movehl_ps(s4[1], s4[0]));
  const __m128 s2_23 = _mm_add_ps(_mm_movelh_ps(s4[2], s4[3]), _mm_movehl_ps(s4[3], s4[2]));
  const __m128 sums =
      _mm_add_ps(_mm_shuffle_ps(s2_01, s2_23, 0x88), _mm_shuffle_ps(s2_01, s2_23, 0xDD));
  _mm_storeu_ps(out, _mm_mul_ps(sums, _mm_set1_ps(factor)));
}
inline float LargestLane(F32x16 v) {
  const __m256 m8 = _mm256_max_ps(v.low, v.high);
  const __m128 m4 = _mm_max_ps(_mm256_castps256_ps128(m8), _mm256_extractf128_ps(m8, 1));
  const __m128 m2 = _mm_max_ps(m4, _mm_movehl_ps(m4, m4));
  return _mm_cvtss_f32(_mm_max_ss(m2, _mm_movehdup_ps(m2)));
}
inline float SquareRoot(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

// Exp of scalar_math.h, step by step.
inline __m256 Exp8(__m256 x) {
  const __m256 magic = _mm256_set1_ps(0x1.8p23F);
  x = _mm256_max_ps(_mm256_set1_ps(-104.0F), x);  // Operands in this order let a NaN pass.
  x = _mm256_min_ps(_mm256_set1_ps(89.0F), x);
  const __m256 shifted = _mm256_fmadd_ps(x, _mm256_set1_ps(0x1.715476p+0F), magic);
  const __m256 n = _mm256_sub_ps(shifted, magic);
  __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(-0x1.62e4p-1F), x);
  r = _mm256_fmadd_ps(n, _mm256_set1_ps(-0x1.7f7d1cp-20F), r);
  __m256 p = _mm256_set1_ps(0x1.6d110ap-10F);
  constexpr float kCoefficients[] = {0x1.120b6ep-7F, 0x1.55551ap-5F, 0x1.5554dcp-3F,
                                     0.5F,           1.0F,           1.0F};
  for (const float c : kCoefficients) {
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(c));
  }
  const __m256i n_int = _mm256_sub_epi32(_mm256_castps_si256(shifted), _mm256_castps_si256(magic));
  const __m256i half = _mm256_srai_epi32(n_int, 1);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256i a = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  const __m256i b = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(n_int, half), bias), 23);
  return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(a)), _mm256_castsi256_ps(b));
}
inline F32x16 Exp(F32x16 x) { return {Exp8(x.low), Exp8(x.high)}; }

// Queries that attention takes at once: 1 x 4 keys of sums fill 8 of 16 registers.
constexpr int kQueryTile = 1;
// Weight rows and activation rows that products of floats take at once.
constexpr int kFloatTile = 2;

}  // namespace
}  // namespace shoal
