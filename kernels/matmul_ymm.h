#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "kernels/row_groups.h"

// What matmul_blocks.h asks of an instruction set, in 256-bit registers. For
// *_avx2.cc and *_avxvnni.cc files alone; private to each.
namespace shoal {
namespace {

struct Ymm {  // All but Dot.
  static constexpr int kLanes = 8;
  static constexpr int kMaxTile = 4;
  static constexpr bool kSigned = false;
  using Bytes = __m256i;
  using Ints = __m256i;
  using Floats = __m256;

  static Bytes LoadBytes(const uint8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  template <int kShift, int kMask>
  static Bytes Field(Bytes v) {
    if constexpr (kShift > 0) v = _mm256_srli_epi16(v, kShift);
    if constexpr (kShift < 0) v = _mm256_slli_epi16(v, -kShift);
    return _mm256_and_si256(v, _mm256_set1_epi8(kMask));
  }
  static Bytes Or(Bytes a, Bytes b) { return _mm256_or_si256(a, b); }
  static Bytes Lookup(const uint8_t* table, Bytes indices) {
    const __m128i bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(table));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), indices);
  }
  static Ints SetInts(int32_t n) { return _mm256_set1_epi32(n); }
  // The same four activations for every row.
  static Bytes Word(const int8_t* q, int k) {
    int32_t word;
    __builtin_memcpy(&word, q + 4 * k, sizeof(word));
    return _mm256_set1_epi32(word);
  }

  static Floats FromF16(const uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Floats FromU8(const uint8_t* p) {
    return ToFloats(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  static Floats FromI8(const int8_t* p) {
    return ToFloats(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  static Floats FromE8M0Halved(const uint8_t* p) {
    const __m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    // The exponent's field is e - 1; what is below 1 is subnormal, 2^-128 or 2^-127.
    const __m256i one = _mm256_set1_epi32(1);
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, one), 23);
    const __m256i subnormal = _mm256_slli_epi32(_mm256_add_epi32(e, one), 21);
    const __m256i nan = _mm256_cmpeq_epi32(e, _mm256_set1_epi32(255));
    return _mm256_castsi256_ps(_mm256_or_si256(_mm256_max_epi32(normal, subnormal), nan));
  }
  static Floats ToFloats(Ints v) { return _mm256_cvtepi32_ps(v); }
  static Floats SetFloats(float x) { return _mm256_set1_ps(x); }
  static Floats Mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats MulAdd(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static Floats Negate(Floats v) { return _mm256_xor_ps(v, _mm256_set1_ps(-0.0F)); }

  static __m256i First(int64_t n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(n < kLanes ? n : kLanes)),
                              lane);
  }
  static Floats LoadFirst(const float* p, int64_t n) { return _mm256_maskload_ps(p, First(n)); }
  static void StoreFirst(float* p, int64_t n, Floats v) { _mm256_maskstore_ps(p, First(n), v); }

  // Bytes are made unsigned for vpsadbw, which adds eight of them.
  static void HalfSums(const int8_t* q, int32_t* sums) {
    const __m256i sign = _mm256_set1_epi8(static_cast<char>(0x80));
    __m256i eights[4];
    for (int i = 0; i < 4; ++i) {
      const __m256i block = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q) + i);
      eights[i] = _mm256_sad_epu8(_mm256_xor_si256(block, sign), _mm256_setzero_si256());
    }
    // Halves h of block b: 64-bit numbers 2h and 2h + 1 of eights[b].
    const __m256i low = _mm256_hadd_epi32(eights[0], eights[1]);
    const __m256i high = _mm256_hadd_epi32(eights[2], eights[3]);
    const __m256i all = _mm256_hadd_epi32(low, high);  // b0h0 b1h0 b2h0 b3h0 b0h1 ...
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i offset = _mm256_set1_epi32(16 * 128);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums),
                        _mm256_sub_epi32(_mm256_permutevar8x32_epi32(all, order), offset));
  }
};

// vpmaddubsw adds pairs of products in 16 bits: as many words meet there as cannot overflow.
struct Avx2 : Ymm {
  template <int kLargest, int kFirst, int kCount, int kTile>
  static void Dot(const Bytes* w, const int8_t* const* q, Ints* sums) {
    if constexpr (kLargest > 127) {  // Even one would: lower and upper nibbles apart.
      Bytes part[kFirst + kCount];
      for (int k = kFirst; k < kFirst + kCount; ++k) part[k] = Field<0, 0x0F>(w[k]);
      DotInWords<15, kFirst, kCount, kTile>(part, q, 1, sums);
      for (int k = kFirst; k < kFirst + kCount; ++k) part[k] = Field<4, 0x0F>(w[k]);
      DotInWords<15, kFirst, kCount, kTile>(part, q, 16, sums);
    } else {
      DotInWords<kLargest, kFirst, kCount, kTile>(w, q, 1, sums);
    }
  }

 private:
  // sums[t] += factor * the sum of products; |factor * a 16-bit sum| stays below 2^20.
  template <int kLargest, int kFirst, int kCount, int kTile>
  static void DotInWords(const Bytes* w, const int8_t* const* q, int16_t factor, Ints* sums) {
    constexpr int kFit = 32767 / (2 * kLargest * 128);
    constexpr int kMeet = kFit >= 8 ? 8 : kFit >= 4 ? 4 : kFit >= 2 ? 2 : 1;
    constexpr int kWords = kMeet < kCount ? kMeet : kCount;
    for (int t = 0; t < kTile; ++t) {
      for (int first = kFirst; first < kFirst + kCount; first += kWords) {
        __m256i pairs = _mm256_maddubs_epi16(w[first], Word(q[t], first));
        for (int k = first + 1; k < first + kWords; ++k) {
          pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(w[k], Word(q[t], k)));
        }
        sums[t] = _mm256_add_epi32(sums[t], _mm256_madd_epi16(pairs, _mm256_set1_epi16(factor)));
      }
    }
  }
};

#ifdef __AVXVNNI__
struct AvxVnni : Ymm {
  template <int kLargest, int kFirst, int kCount, int kTile>
  static void Dot(const Bytes* w, const int8_t* const* q, Ints* sums) {
    for (int t = 0; t < kTile; ++t) {
      for (int k = kFirst; k < kFirst + kCount; ++k) {
        sums[t] = _mm256_dpbusd_avx_epi32(sums[t], w[k], Word(q[t], k));
      }
    }
  }
};
#endif

}  // namespace
}  // namespace shoal
