#pragma once

#include <immintrin.h>
#include <stdint.h>

// The 16 virtual lanes of docs/arithmetic.md as one register. For *_avx512.cc and *_amx.cc files
// alone: all of it is private to the file that includes it. f32x16_avx2.h has the same names.
namespace shoal {
namespace {

using F32x16 = __m512;

inline __mmask16 First(int64_t n) { return static_cast<__mmask16>((1U << n) - 1U); }

inline F32x16 Broadcast(float x) { return _mm512_set1_ps(x); }
inline F32x16 Load(const float* p) { return _mm512_loadu_ps(p); }
inline F32x16 Load(const uint16_t* p) {  // f16
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline F32x16 LoadBf16(const uint16_t* p) {
  const __m256i upper = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(upper), 16));
}
inline void Store(float* p, F32x16 v) { _mm512_storeu_ps(p, v); }

// The first n of 16, 0 < n < 16; the rest are zeros, or are left alone.
inline F32x16 LoadFirst(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(First(n), p); }
inline F32x16 LoadFirst(const uint16_t* p, int64_t n) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(First(n), p));
}
inline void StoreFirst(float* p, int64_t n, F32x16 v) { _mm512_mask_storeu_ps(p, First(n), v); }
// Lanes n and on become `other`'s; 0 < n <= 16.
inline F32x16 KeepFirst(F32x16 v, int64_t n, F32x16 other) {
  return _mm512_mask_blend_ps(First(n), other, v);
}

inline F32x16 Add(F32x16 a, F32x16 b) { return _mm512_add_ps(a, b); }
inline F32x16 Sub(F32x16 a, F32x16 b) { return _mm512_sub_ps(a, b); }
inline F32x16 Mul(F32x16 a, F32x16 b) { return _mm512_mul_ps(a, b); }
inline F32x16 Div(F32x16 a, F32x16 b) { return _mm512_div_ps(a, b); }
inline F32x16 Max(F32x16 a, F32x16 b) { return _mm512_max_ps(a, b); }
inline F32x16 Fma(F32x16 a, F32x16 b, F32x16 c) { return _mm512_fmadd_ps(a, b, c); }
inline F32x16 Negate(F32x16 a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0F)); }

// The tree over lanes.
inline float Sum(F32x16 v) {
  const __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}
// The same for four at once: out[i] = Sum(v[i]) * factor.
inline void StoreFourSums(const F32x16* v, float factor, float* out) {
  __m512 s8[2];
  for (int i = 0; i < 2; ++i) {
    s8[i] = _mm512_add_ps(_mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0x44),
                          _mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0xEE));
  }
  const __m512 s4 = _mm512_add_ps(_mm512_shuffle_f32x4(s8[0], s8[1], 0x88),
                                  _mm512_shuffle_f32x4(s8[0], s8[1], 0xDD));
  const __m512 s2 = _mm512_add_ps(s4, _mm512_permute_ps(s4, 0x4E));
  const __m512 s1 = _mm512_add_ps(s2, _mm512_permute_ps(s2, 0xB1));
  const __m512i firsts = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m128 sums = _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, s1));
  _mm_storeu_ps(out, _mm_mul_ps(sums, _mm_set1_ps(factor)));
}
inline float LargestLane(F32x16 v) {
  const __m256 m8 = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 m4 = _mm_max_ps(_mm256_castps256_ps128(m8), _mm256_extractf128_ps(m8, 1));
  const __m128 m2 = _mm_max_ps(m4, _mm_movehl_ps(m4, m4));
  return _mm_cvtss_f32(_mm_max_ss(m2, _mm_movehdup_ps(m2)));
}
inline float SquareRoot(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

// Exp of scalar_math.h, step by step.
inline F32x16 Exp(F32x16 x) {
  const __m512 magic = _mm512_set1_ps(0x1.8p23F);
  x = _mm512_max_ps(_mm512_set1_ps(-104.0F), x);  // Operands in this order let a NaN pass.
  x = _mm512_min_ps(_mm512_set1_ps(89.0F), x);
  const __m512 shifted = _mm512_fmadd_ps(x, _mm512_set1_ps(0x1.715476p+0F), magic);
  const __m512 n = _mm512_sub_ps(shifted, magic);
  __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(-0x1.62e4p-1F), x);
  r = _mm512_fmadd_ps(n, _mm512_set1_ps(-0x1.7f7d1cp-20F), r);
  __m512 p = _mm512_set1_ps(0x1.6d110ap-10F);
  constexpr float kCoefficients[] = {0x1.120b6ep-7F, 0x1.55551ap-5F, 0x1.5554dcp-3F,
                                     0.5F,           1.0F,           1.0F};
  for (const float c : kCoefficients) {
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
  }
  const __m512i n_int = _mm512_sub_epi32(_mm512_castps_si512(shifted), _mm512_castps_si512(magic));
  const __m512i half = _mm512_srai_epi32(n_int, 1);
  const __m512i bias = _mm512_set1_epi32(127);
  const __m512i a = _mm512_slli_epi32(_mm512_add_epi32(half, bias), 23);
  const __m512i b = _mm512_slli_epi32(_mm512_add_epi32(_mm512_sub_epi32(n_int, half), bias), 23);
  return _mm512_mul_ps(_mm512_mul_ps(p, _mm512_castsi512_ps(a)), _mm512_castsi512_ps(b));
}

// Queries that attention takes at once: 4 x 4 keys of sums fill 16 of 32 registers.
constexpr int kQueryTile = 4;
// Weight rows and activation rows that products of floats take at once.
constexpr int kFloatTile = 4;

}  // namespace
}  // namespace shoal
