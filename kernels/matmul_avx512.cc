#include <immintrin.h>
#include <stdint.h>

#include "kernels/matmul.h"
#include "kernels/row_groups.h"
// After what it is written in.
#include "kernels/matmul_formats.h"

// One register lane is one output: 16 rows of weights at once, and up to 8 rows of activations per
// pass over them, so that unpacking is paid once. Sums of a block are exact integers; the offset
// that makes weights unsigned for vpdpbusd is taken off by starting from -offset * (block's sum).
namespace shoal::avx512 {
namespace {

constexpr int kMaxTile = 8;            // Rows of activations per pass.
constexpr int64_t kChunkBlocks = 256;  // Columns are cut here so that block sums fit the stack.

inline __m512i Load512(const void* p) { return _mm512_loadu_si512(p); }
inline __m512 F32FromF16x16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline __m512 F32FromU8x16(const uint8_t* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline __m512 F32FromI8x16(const int8_t* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline int32_t Word(const int8_t* p) {
  int32_t word;
  __builtin_memcpy(&word, p, sizeof(word));
  return word;
}

inline void LoadNibbles(const Nibbles& q, __m512i* w) {
  const __m512i low = _mm512_set1_epi8(0x0F);
  for (int k = 0; k < 4; ++k) {
    const __m512i both = Load512(q.word[k]);
    w[k] = _mm512_and_si512(both, low);
    w[k + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
  }
}

// Each format says how a block's eight words, its factors and its offset are read.
struct FormatQ4 {
  static constexpr int kOffset = 8;
  static constexpr bool kHalves = false;
  static constexpr bool kMins = false;
  using Group = GroupQ4;
  static constexpr int kGroupBlocks = 2;

  void Words(int64_t b, __m512i* w) const { LoadNibbles(groups[b / 2].q[b % 2], w); }
  __m512 Scale(int64_t b, int /*half*/) const { return F32FromF16x16(groups[b / 2].d[b % 2]); }
  __m512 NegatedMin(int64_t /*b*/) const { return _mm512_setzero_ps(); }

  const GroupQ4* groups;
};

struct FormatQ8 {
  static constexpr int kOffset = 128;
  static constexpr bool kHalves = false;
  static constexpr bool kMins = false;
  using Group = GroupQ8;
  static constexpr int kGroupBlocks = 2;

  void Words(int64_t b, __m512i* w) const {
    for (int k = 0; k < 8; ++k) w[k] = Load512(groups[b / 2].q[b % 2].word[k]);
  }
  __m512 Scale(int64_t b, int /*half*/) const { return F32FromF16x16(groups[b / 2].d[b % 2]); }
  __m512 NegatedMin(int64_t /*b*/) const { return _mm512_setzero_ps(); }

  const GroupQ8* groups;
};

struct FormatQ4K {
  static constexpr int kOffset = 0;
  static constexpr bool kHalves = false;
  static constexpr bool kMins = true;
  using Group = GroupQ4K;
  static constexpr int kGroupBlocks = 8;

  void Words(int64_t b, __m512i* w) const { LoadNibbles(groups[b / 8].q[b % 8], w); }
  __m512 Scale(int64_t b, int /*half*/) const {
    const GroupQ4K& group = groups[b / 8];
    return _mm512_mul_ps(F32FromF16x16(group.d), F32FromU8x16(group.scale[b % 8]));
  }
  __m512 NegatedMin(int64_t b) const {
    const GroupQ4K& group = groups[b / 8];
    const __m512 min = _mm512_mul_ps(F32FromF16x16(group.dmin), F32FromU8x16(group.min[b % 8]));
    return _mm512_xor_ps(min, _mm512_set1_ps(-0.0F));
  }

  const GroupQ4K* groups;
};

struct FormatQ6K {
  static constexpr int kOffset = 32;
  static constexpr bool kHalves = true;
  static constexpr bool kMins = false;
  using Group = GroupQ6K;
  static constexpr int kGroupBlocks = 8;

  void Words(int64_t b, __m512i* w) const {
    const GroupQ6K& group = groups[b / 8];
    LoadNibbles(group.q[b % 8].lower, w);
    const __m512i mask = _mm512_set1_epi8(0x30);
    for (int h = 0; h < 2; ++h) {
      const __m512i upper = Load512(group.q[b % 8].upper[h]);
      const __m512i shifted[4] = {_mm512_slli_epi16(upper, 4), _mm512_slli_epi16(upper, 2), upper,
                                  _mm512_srli_epi16(upper, 2)};
      for (int t = 0; t < 4; ++t) {
        w[4 * h + t] = _mm512_or_si512(w[4 * h + t], _mm512_and_si512(shifted[t], mask));
      }
    }
  }
  __m512 Scale(int64_t b, int half) const {
    const GroupQ6K& group = groups[b / 8];
    return _mm512_mul_ps(F32FromF16x16(group.d), F32FromI8x16(group.scale[b % 8 * 2 + half]));
  }
  __m512 NegatedMin(int64_t /*b*/) const { return _mm512_setzero_ps(); }

  const GroupQ6K* groups;
};

// Up to kMaxTile rows of activations and what their blocks' sums give: per block (per half block
// for Q6_K) -offset * sum as an integer, or for formats with minima the sum as a float.
struct ActivationTile {
  const int8_t* q[kMaxTile];
  const float* scales[kMaxTile];
  alignas(64) int32_t sums[kMaxTile][2 * kChunkBlocks];
};

// Sums of the 16-element halves of four blocks, [8] in order. Bytes are made unsigned for vpsadbw.
inline __m256i HalfSums(const int8_t* q) {
  const __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));
  const __m512i zero = _mm512_setzero_si512();
  const __m512i a = _mm512_sad_epu8(_mm512_xor_si512(Load512(q), sign), zero);
  const __m512i b = _mm512_sad_epu8(_mm512_xor_si512(Load512(q + 64), sign), zero);
  const __m512i pairs = _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
  const __m256i order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
  const __m256i sums = _mm256_permutevar8x32_epi32(_mm512_cvtepi64_epi32(pairs), order);
  return _mm256_sub_epi32(sums, _mm256_set1_epi32(16 * 128));
}

inline int32_t SumOf(const int8_t* q, int n) {
  int32_t sum = 0;
  for (int i = 0; i < n; ++i) sum += q[i];
  return sum;
}

template <typename Format>
inline int32_t StoredSum(int32_t sum) {
  if constexpr (Format::kMins) {
    const float value = static_cast<float>(sum);
    __builtin_memcpy(&sum, &value, sizeof(sum));
    return sum;
  }
  return -Format::kOffset * sum;
}

template <typename Format>
void SumBlocks(const int8_t* q, int64_t n_blocks, int32_t* sums) {
  int64_t b = 0;
  for (; b + 4 <= n_blocks; b += 4) {
    const __m256i halves = HalfSums(q + b * 32);
    if constexpr (Format::kHalves) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + 2 * b),
                          _mm256_mullo_epi32(halves, _mm256_set1_epi32(-Format::kOffset)));
    } else {
      const __m128i whole =
          _mm_hadd_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
      const __m128i stored = Format::kMins
                                 ? _mm_castps_si128(_mm_cvtepi32_ps(whole))
                                 : _mm_mullo_epi32(whole, _mm_set1_epi32(-Format::kOffset));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(sums + b), stored);
    }
  }
  for (; b < n_blocks; ++b) {
    if constexpr (Format::kHalves) {
      for (int h = 0; h < 2; ++h) {
        sums[2 * b + h] = StoredSum<Format>(SumOf(q + b * 32 + 16 * h, 16));
      }
    } else {
      sums[b] = StoredSum<Format>(SumOf(q + b * 32, 32));
    }
  }
}

// Adds the products of words [first, first + n) to `sum`.
template <int kFirst, int kCount>
inline __m512i DotWords(__m512i sum, const __m512i* w, const int8_t* q) {
  for (int k = kFirst; k < kFirst + kCount; ++k) {
    sum = _mm512_dpbusd_epi32(sum, w[k], _mm512_set1_epi32(Word(q + 4 * k)));
  }
  return sum;
}

// acc[t] of 16 outputs for blocks [begin, end) of kTile rows; sums hold blocks from `begin` on.
template <typename Format, int kTile>
inline void AddBlocks(const Format& format, const ActivationTile& x, int64_t begin, int64_t end,
                      __m512* acc) {
  for (int64_t b = begin; b < end; ++b) {
    __m512i w[8];
    format.Words(b, w);
    const __m512 scale = format.Scale(b, 0);
    const __m512 scale_1 = Format::kHalves ? format.Scale(b, 1) : scale;
    const __m512 negated_min = format.NegatedMin(b);
    for (int t = 0; t < kTile; ++t) {
      const int8_t* q = x.q[t] + b * 32;
      const __m512 dx = _mm512_set1_ps(x.scales[t][b]);
      const int64_t i = b - begin;
      if constexpr (Format::kHalves) {
        const __m512i s0 = DotWords<0, 4>(_mm512_set1_epi32(x.sums[t][2 * i]), w, q);
        const __m512i s1 = DotWords<4, 4>(_mm512_set1_epi32(x.sums[t][2 * i + 1]), w, q);
        acc[t] = _mm512_fmadd_ps(_mm512_mul_ps(scale, dx), _mm512_cvtepi32_ps(s0), acc[t]);
        acc[t] = _mm512_fmadd_ps(_mm512_mul_ps(scale_1, dx), _mm512_cvtepi32_ps(s1), acc[t]);
      } else {
        const __m512i start =
            Format::kMins ? _mm512_setzero_si512() : _mm512_set1_epi32(x.sums[t][i]);
        const __m512i s = DotWords<0, 8>(start, w, q);
        acc[t] = _mm512_fmadd_ps(_mm512_mul_ps(scale, dx), _mm512_cvtepi32_ps(s), acc[t]);
        if constexpr (Format::kMins) {
          const __m512 sum = _mm512_castsi512_ps(_mm512_set1_epi32(x.sums[t][i]));
          acc[t] = _mm512_fmadd_ps(_mm512_mul_ps(negated_min, dx), sum, acc[t]);
        }
      }
    }
  }
}

// Products of kTile rows, whose results begin at y. A chunk after the first goes on from y.
template <typename Format, int kTile>
void MultiplyTile(const PackedView& w, ActivationTile& x, int64_t row_begin, int64_t row_end,
                  float* y, int64_t y_stride) {
  const int64_t n_blocks = w.cols / 32;
  const int64_t n_groups = (n_blocks + Format::kGroupBlocks - 1) / Format::kGroupBlocks;
  for (int64_t begin = 0; begin < n_blocks; begin += kChunkBlocks) {
    const int64_t end = begin + kChunkBlocks < n_blocks ? begin + kChunkBlocks : n_blocks;
    for (int t = 0; t < kTile; ++t) SumBlocks<Format>(x.q[t] + begin * 32, end - begin, x.sums[t]);
    for (int64_t n = row_begin; n < row_end; n += kPackRows) {
      const Format format{reinterpret_cast<const typename Format::Group*>(w.data) +
                          n / kPackRows * n_groups};
      const int64_t n_out = row_end - n < kPackRows ? row_end - n : kPackRows;
      const __mmask16 mask = static_cast<__mmask16>((1U << n_out) - 1U);
      __m512 acc[kTile];
      for (int t = 0; t < kTile; ++t) {
        acc[t] =
            begin == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(mask, y + t * y_stride + n);
      }
      AddBlocks<Format, kTile>(format, x, begin, end, acc);
      for (int t = 0; t < kTile; ++t) _mm512_mask_storeu_ps(y + t * y_stride + n, mask, acc[t]);
    }
  }
}

template <typename Format>
void MatmulQuantized(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end,
                     float* y, int64_t y_stride) {
  ActivationTile tile;
  for (int64_t i = 0; i < x.n_rows;) {
    const int64_t left = x.n_rows - i;
    const int n_tile = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
    for (int t = 0; t < n_tile; ++t) {
      const int64_t r = x.row_map == nullptr ? i + t : x.row_map[i + t];
      tile.q[t] = x.q8 + r * x.q8_stride;
      tile.scales[t] = x.scales + r * x.scale_stride;
    }
    float* out = y + i * y_stride;
    if (n_tile == 8) MultiplyTile<Format, 8>(w, tile, row_begin, row_end, out, y_stride);
    if (n_tile == 4) MultiplyTile<Format, 4>(w, tile, row_begin, row_end, out, y_stride);
    if (n_tile == 2) MultiplyTile<Format, 2>(w, tile, row_begin, row_end, out, y_stride);
    if (n_tile == 1) MultiplyTile<Format, 1>(w, tile, row_begin, row_end, out, y_stride);
    i += n_tile;
  }
}

// Float weights: a register holds the 16 virtual lanes of one (weight row, activation row) pair.
template <DType kType>
inline __m512 LoadWeights(const std::byte* row, int64_t c, __mmask16 mask) {
  if constexpr (kType == DType::kF32) {
    return _mm512_maskz_loadu_ps(mask, row + c * 4);
  } else {
    const __m256i half = _mm256_maskz_loadu_epi16(mask, row + c * 2);
    if constexpr (kType == DType::kF16) return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
  }
}

inline float SumLanes(__m512 v) {
  const __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

template <DType kType, int kWeights, int kRows>
void FloatTile(const std::byte* w, int64_t row_bytes, const float* const* x, int64_t cols, float* y,
               int64_t y_stride) {
  __m512 acc[kWeights][kRows];
  for (auto& row : acc) {
    for (__m512& a : row) a = _mm512_setzero_ps();
  }
  for (int64_t c = 0; c < cols; c += 16) {
    const __mmask16 mask =
        static_cast<__mmask16>(cols - c >= 16 ? 0xFFFFU : (1U << (cols - c)) - 1U);
    __m512 rows[kRows];
    for (int t = 0; t < kRows; ++t) rows[t] = _mm512_maskz_loadu_ps(mask, x[t] + c);
    for (int n = 0; n < kWeights; ++n) {
      const __m512 weights = LoadWeights<kType>(w + n * row_bytes, c, mask);
      for (int t = 0; t < kRows; ++t) acc[n][t] = _mm512_fmadd_ps(weights, rows[t], acc[n][t]);
    }
  }
  for (int n = 0; n < kWeights; ++n) {
    for (int t = 0; t < kRows; ++t) y[t * y_stride + n] = SumLanes(acc[n][t]);
  }
}

template <DType kType>
struct FormatOf;
template <>
struct FormatOf<DType::kQ8_0> : FormatQ8 {};
template <>
struct FormatOf<DType::kQ4_0> : FormatQ4 {};
template <>
struct FormatOf<DType::kQ4_K> : FormatQ4K {};
template <>
struct FormatOf<DType::kQ6_K> : FormatQ6K {};

struct Kernels {
  static constexpr int kFloatTile = 4;
  template <DType kType, int kWeights, int kRows>
  static void FloatTile(const std::byte* w, int64_t row_bytes, const float* const* x, int64_t cols,
                        float* y, int64_t y_stride) {
    avx512::FloatTile<kType, kWeights, kRows>(w, row_bytes, x, cols, y, y_stride);
  }
  template <DType kType>
  static void Quantized(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end,
                        float* y, int64_t y_stride) {
    MatmulQuantized<FormatOf<kType>>(w, x, row_begin, row_end, y, y_stride);
  }
};

}  // namespace

void Matmul(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end, float* y,
            int64_t y_stride) {
  MatmulAnyFormat<Kernels>(w, x, row_begin, row_end, y, y_stride);
}

}  // namespace shoal::avx512
