#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "kernels/row_groups.h"

// What matmul_blocks.h asks of an instruction set, in 512-bit registers. For *_avx512.cc and
// *_amx.cc files alone; private to each.
namespace shoal {
namespace {

struct Zmm {
  static constexpr int kLanes = 16;
  static constexpr int kMaxTile = 8;
  static constexpr bool kSigned = false;
  using Bytes = __m512i;
  using Ints = __m512i;
  using Floats = __m512;

  static __m128i Load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
  static Bytes LoadBytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
  template <int kShift, int kMask>
  static Bytes Field(Bytes v) {
    if constexpr (kShift > 0) v = _mm512_srli_epi16(v, kShift);
    if constexpr (kShift < 0) v = _mm512_slli_epi16(v, -kShift);
    return _mm512_and_si512(v, _mm512_set1_epi8(kMask));
  }
  static Bytes Or(Bytes a, Bytes b) { return _mm512_or_si512(a, b); }
  static Bytes SubBytes(Bytes v, int n) {
    return _mm512_sub_epi8(v, _mm512_set1_epi8(static_cast<char>(n)));
  }
  static Bytes Lookup(const uint8_t* table, Bytes indices) {
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(Load128(table)), indices);
  }
  static Ints SetInts(int32_t n) { return _mm512_set1_epi32(n); }

  static Floats FromF16(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Floats FromU8(const uint8_t* p) { return ToFloats(_mm512_cvtepu8_epi32(Load128(p))); }
  static Floats FromI8(const int8_t* p) { return ToFloats(_mm512_cvtepi8_epi32(Load128(p))); }
  static Floats FromE8M0Halved(const uint8_t* p) {
    const __m512i e = _mm512_cvtepu8_epi32(Load128(p));
    // The exponent's field is e - 1; what is below 1 is subnormal, 2^-128 or 2^-127.
    const __m512i one = _mm512_set1_epi32(1);
    const __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, one), 23);
    const __m512i subnormal = _mm512_slli_epi32(_mm512_add_epi32(e, one), 21);
    const __m512i bits = _mm512_max_epi32(normal, subnormal);
    const __mmask16 nan = _mm512_cmpeq_epi32_mask(e, _mm512_set1_epi32(255));
    return _mm512_castsi512_ps(_mm512_mask_set1_epi32(bits, nan, -1));
  }
  static Floats ToFloats(Ints v) { return _mm512_cvtepi32_ps(v); }
  static Floats SetFloats(float x) { return _mm512_set1_ps(x); }
  static Floats Mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats MulAdd(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static Floats Negate(Floats v) { return _mm512_xor_ps(v, _mm512_set1_ps(-0.0F)); }

  static __mmask16 FirstLanes(int64_t n) {
    return static_cast<__mmask16>(n < kLanes ? (1U << n) - 1U : 0xFFFFU);
  }
  static Floats LoadFirst(const float* p, int64_t n) {
    return _mm512_maskz_loadu_ps(FirstLanes(n), p);
  }
  static void StoreFirst(float* p, int64_t n, Floats v) {
    _mm512_mask_storeu_ps(p, FirstLanes(n), v);
  }

  template <int kLargest, int kFirst, int kCount, int kTile>
  static void Dot(const Bytes* w, const int8_t* const* q, Ints* sums) {
    for (int k = kFirst; k < kFirst + kCount; ++k) {
      for (int t = 0; t < kTile; ++t) {
        int32_t word;
        __builtin_memcpy(&word, q[t] + 4 * k, sizeof(word));
        sums[t] = _mm512_dpbusd_epi32(sums[t], w[k], _mm512_set1_epi32(word));
      }
    }
  }

  // Bytes are made unsigned for vpsadbw, which adds eight of them.
  static void HalfSums(const int8_t* q, int32_t* sums) {
    const __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));
    const __m512i zero = _mm512_setzero_si512();
    const __m512i a = _mm512_sad_epu8(_mm512_xor_si512(_mm512_loadu_si512(q), sign), zero);
    const __m512i b = _mm512_sad_epu8(_mm512_xor_si512(_mm512_loadu_si512(q + 64), sign), zero);
    const __m512i pairs =
        _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    const __m256i order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
    const __m256i ordered = _mm256_permutevar8x32_epi32(_mm512_cvtepi64_epi32(pairs), order);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums),
                        _mm256_sub_epi32(ordered, _mm256_set1_epi32(16 * 128)));
  }
};

}  // namespace
}  // namespace shoal
