#include <immintrin.h>
#include <stdint.h>

#include "kernels/quantize_rows.h"

namespace shoal::avx2 {
namespace {

inline __m256i MagnitudeBits(__m256 x) {
  return _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7FFFFFFF));
}

inline int32_t LargestLane(__m256i v) {
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4E));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xB1));
  return _mm_cvtsi128_si32(m);
}

// One whole block.
inline void QuantizeBlock(const float* x, int8_t* q, float* scale) {
  __m256 v[4];
  for (int i = 0; i < 4; ++i) v[i] = _mm256_loadu_ps(x + 8 * i);
  const __m256i largest =
      _mm256_max_epi32(_mm256_max_epi32(MagnitudeBits(v[0]), MagnitudeBits(v[1])),
                       _mm256_max_epi32(MagnitudeBits(v[2]), MagnitudeBits(v[3])));
  const int32_t bits = LargestLane(largest);
  const float amax = FloatFromBits(bits);
  if (bits >= kInfinityBits || amax < 0x1p-100F) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), _mm256_setzero_si256());
    *scale = bits >= kInfinityBits ? __builtin_nanf("") : 0.0F;
    return;
  }
  const __m256 inv = _mm256_set1_ps(127.0F / amax);
  __m256i n[4];
  for (int i = 0; i < 4; ++i) n[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inv));
  const __m256i mixed =
      _mm256_packs_epi16(_mm256_packs_epi32(n[0], n[1]), _mm256_packs_epi32(n[2], n[3]));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), _mm256_permutevar8x32_epi32(mixed, order));
  *scale = amax / 127.0F;
}

int32_t MaxMagnitudeBits(const float* x, int64_t n) {
  __m256i largest = _mm256_setzero_si256();
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    largest = _mm256_max_epi32(largest, MagnitudeBits(_mm256_loadu_ps(x + i)));
  }
  if (i < n) {
    float tail[8] = {};
    __builtin_memcpy(tail, x + i, static_cast<size_t>(n - i) * sizeof(float));
    largest = _mm256_max_epi32(largest, MagnitudeBits(_mm256_loadu_ps(tail)));
  }
  return LargestLane(largest);
}

// out = f16(x * factor), half to even.
void EncodeF16(const float* x, int64_t n, float factor, uint16_t* out) {
  const __m256 f = _mm256_set1_ps(factor);
  const auto encode = [f](const float* from) {
    return _mm256_cvtps_ph(_mm256_mul_ps(_mm256_loadu_ps(from), f), _MM_FROUND_TO_NEAREST_INT);
  };
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), encode(x + i));
  if (i < n) {
    float tail[8] = {};
    uint16_t half[8];
    __builtin_memcpy(tail, x + i, static_cast<size_t>(n - i) * sizeof(float));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(half), encode(tail));
    __builtin_memcpy(out + i, half, static_cast<size_t>(n - i) * sizeof(uint16_t));
  }
}

}  // namespace

void QuantizeRow(const float* x, int64_t n, int8_t* q, float* scales) {
  QuantizeBlocks(x, n, q, scales, QuantizeBlock);
}

void EncodeF16Row(const float* x, int64_t n, uint16_t* out, float* row_scale) {
  EncodeScaledRow(MaxMagnitudeBits(x, n), x, n, out, row_scale, EncodeF16);
}

void DecodeF16Row(const uint16_t* x, int64_t n, float row_scale, float* out) {
  const __m256 scale = _mm256_set1_ps(row_scale);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i));
    _mm256_storeu_ps(out + i, _mm256_mul_ps(_mm256_cvtph_ps(half), scale));
  }
  for (; i < n; ++i) {
    const __m128 value = _mm_cvtph_ps(_mm_cvtsi32_si128(x[i]));
    out[i] = _mm_cvtss_f32(value) * row_scale;
  }
}

void StoreKv(const float* x, int64_t n, KvType type, void* out) {
  StoreRow(x, n, type, out, QuantizeBlock, EncodeF16);
}

}  // namespace shoal::avx2
