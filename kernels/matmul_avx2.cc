#include <immintrin.h>
#include <stdint.h>

#include "kernels/matmul.h"
#include "kernels/row_groups.h"
// After what it is written in.
#include "kernels/matmul_formats.h"

// One register lane is one output, 8 rows of weights at once. vpmaddubsw adds pairs in 16 bits; the
// largest sums that may meet there are named where they do, and all stay below 32767. The offset
// that makes weights unsigned is taken off through the blocks' sums.
namespace shoal::avx2 {
namespace {

constexpr int kMaxTile = 4;            // Rows of activations per pass.
constexpr int64_t kChunkBlocks = 256;  // Columns are cut here so that block sums fit the stack.
constexpr int kLanes = 8;

inline __m256i Load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline __m256 F32FromF16x8(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline __m256 F32FromU8x8(const uint8_t* p) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
inline __m256 F32FromI8x8(const int8_t* p) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
inline __m256i Word(const int8_t* p) {
  int32_t word;
  __builtin_memcpy(&word, p, sizeof(word));
  return _mm256_set1_epi32(word);
}

// The words of rows [first, first + 8) of a group.
inline void LoadNibbles(const Nibbles& q, int first, __m256i* w) {
  const __m256i low = _mm256_set1_epi8(0x0F);
  for (int k = 0; k < 4; ++k) {
    const __m256i both = Load256(q.word[k][first]);
    w[k] = _mm256_and_si256(both, low);
    w[k + 4] = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
  }
}

// Sum over a block of nibble * q, times `weight` (1 or 16): 8 pairs of at most 2 * 15 * 128 meet in
// 16 bits, 30,720.
inline __m256i DotNibbles(const __m256i* w, const int8_t* q, int16_t weight) {
  __m256i sum = _mm256_maddubs_epi16(w[0], Word(q));
  for (int k = 1; k < 8; ++k) {
    sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(w[k], Word(q + 4 * k)));
  }
  return _mm256_madd_epi16(sum, _mm256_set1_epi16(weight));
}

// The same over half a block of six-bit values: two pairs of at most 2 * 63 * 128 meet, 32,256.
inline __m256i DotSixBits(const __m256i* w, const int8_t* q) {
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i a = _mm256_add_epi16(_mm256_maddubs_epi16(w[0], Word(q)),
                                     _mm256_maddubs_epi16(w[1], Word(q + 4)));
  const __m256i b = _mm256_add_epi16(_mm256_maddubs_epi16(w[2], Word(q + 8)),
                                     _mm256_maddubs_epi16(w[3], Word(q + 12)));
  return _mm256_add_epi32(_mm256_madd_epi16(a, ones), _mm256_madd_epi16(b, ones));
}

// Rows of activations and, per block (per half block for Q6_K), -offset * sum as an integer, or for
// formats with minima the sum as a float.
struct ActivationTile {
  const int8_t* q[kMaxTile];
  const float* scales[kMaxTile];
  alignas(32) int32_t sums[kMaxTile][2 * kChunkBlocks];
};

// Each format: its offset, and Dot, which adds block b's integer sums of rows [first, first + 8)
// with each of kTile rows.
struct FormatQ4 {
  static constexpr int kOffset = 8;
  static constexpr bool kHalves = false;
  static constexpr bool kMins = false;
  using Group = GroupQ4;
  static constexpr int kGroupBlocks = 2;

  template <int kTile>
  void Dot(int64_t b, int first, const ActivationTile& x, __m256i (*sums)[2]) const {
    __m256i w[8];
    LoadNibbles(groups[b / 2].q[b % 2], first, w);
    for (int t = 0; t < kTile; ++t) {
      sums[t][0] = _mm256_add_epi32(sums[t][0], DotNibbles(w, x.q[t] + b * 32, 1));
    }
  }
  __m256 Scale(int64_t b, int first, int /*half*/) const {
    return F32FromF16x8(groups[b / 2].d[b % 2] + first);
  }
  __m256 NegatedMin(int64_t /*b*/, int /*first*/) const { return _mm256_setzero_ps(); }

  const GroupQ4* groups;
};

struct FormatQ8 {
  static constexpr int kOffset = 128;
  static constexpr bool kHalves = false;
  static constexpr bool kMins = false;
  using Group = GroupQ8;
  static constexpr int kGroupBlocks = 2;

  // A byte times a byte would saturate 16 bits: lower and upper nibbles apart, then low + 16 high.
  template <int kTile>
  void Dot(int64_t b, int first, const ActivationTile& x, __m256i (*sums)[2]) const {
    const __m256i low = _mm256_set1_epi8(0x0F);
    for (int part = 0; part < 2; ++part) {
      __m256i w[8];
      for (int k = 0; k < 8; ++k) {
        const __m256i both = Load256(groups[b / 2].q[b % 2].word[k][first]);
        w[k] = _mm256_and_si256(part == 0 ? both : _mm256_srli_epi16(both, 4), low);
      }
      for (int t = 0; t < kTile; ++t) {
        const __m256i dot = DotNibbles(w, x.q[t] + b * 32, part == 0 ? 1 : 16);
        sums[t][0] = _mm256_add_epi32(sums[t][0], dot);
      }
    }
  }
  __m256 Scale(int64_t b, int first, int /*half*/) const {
    return F32FromF16x8(groups[b / 2].d[b % 2] + first);
  }
  __m256 NegatedMin(int64_t /*b*/, int /*first*/) const { return _mm256_setzero_ps(); }

  const GroupQ8* groups;
};

struct FormatQ4K {
  static constexpr bool kHalves = false;
  static constexpr bool kMins = true;
  using Group = GroupQ4K;
  static constexpr int kGroupBlocks = 8;

  template <int kTile>
  void Dot(int64_t b, int first, const ActivationTile& x, __m256i (*sums)[2]) const {
    __m256i w[8];
    LoadNibbles(groups[b / 8].q[b % 8], first, w);
    for (int t = 0; t < kTile; ++t) sums[t][0] = DotNibbles(w, x.q[t] + b * 32, 1);
  }
  __m256 Scale(int64_t b, int first, int /*half*/) const {
    const GroupQ4K& group = groups[b / 8];
    return _mm256_mul_ps(F32FromF16x8(group.d + first), F32FromU8x8(group.scale[b % 8] + first));
  }
  __m256 NegatedMin(int64_t b, int first) const {
    const GroupQ4K& group = groups[b / 8];
    const __m256 min =
        _mm256_mul_ps(F32FromF16x8(group.dmin + first), F32FromU8x8(group.min[b % 8] + first));
    return _mm256_xor_ps(min, _mm256_set1_ps(-0.0F));
  }

  const GroupQ4K* groups;
};

struct FormatQ6K {
  static constexpr int kOffset = 32;
  static constexpr bool kHalves = true;
  static constexpr bool kMins = false;
  using Group = GroupQ6K;
  static constexpr int kGroupBlocks = 8;

  template <int kTile>
  void Dot(int64_t b, int first, const ActivationTile& x, __m256i (*sums)[2]) const {
    const GroupQ6K& group = groups[b / 8];
    const __m256i mask = _mm256_set1_epi8(0x30);
    __m256i w[8];
    LoadNibbles(group.q[b % 8].lower, first, w);
    for (int h = 0; h < 2; ++h) {
      const __m256i upper = Load256(group.q[b % 8].upper[h][first]);
      const __m256i shifted[4] = {_mm256_slli_epi16(upper, 4), _mm256_slli_epi16(upper, 2), upper,
                                  _mm256_srli_epi16(upper, 2)};
      for (int i = 0; i < 4; ++i) {
        w[4 * h + i] = _mm256_or_si256(w[4 * h + i], _mm256_and_si256(shifted[i], mask));
      }
      for (int t = 0; t < kTile; ++t) {
        const int8_t* q = x.q[t] + b * 32 + 16 * h;
        sums[t][h] = _mm256_add_epi32(sums[t][h], DotSixBits(w + 4 * h, q));
      }
    }
  }
  __m256 Scale(int64_t b, int first, int half) const {
    const GroupQ6K& group = groups[b / 8];
    return _mm256_mul_ps(F32FromF16x8(group.d + first),
                         F32FromI8x8(group.scale[b % 8 * 2 + half] + first));
  }
  __m256 NegatedMin(int64_t /*b*/, int /*first*/) const { return _mm256_setzero_ps(); }

  const GroupQ6K* groups;
};

// Sum of 16 elements.
inline int32_t SumHalf(const int8_t* q) {
  const __m256i wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(q)));
  const __m256i pairs = _mm256_madd_epi16(wide, _mm256_set1_epi16(1));
  const __m128i s4 =
      _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
  const __m128i s2 = _mm_add_epi32(s4, _mm_shuffle_epi32(s4, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(s2, _mm_shuffle_epi32(s2, 0xB1)));
}

template <typename Format>
void SumBlocks(const int8_t* q, int64_t n_blocks, int32_t* sums) {
  for (int64_t b = 0; b < n_blocks; ++b) {
    const int32_t s0 = SumHalf(q + b * 32);
    const int32_t s1 = SumHalf(q + b * 32 + 16);
    if constexpr (Format::kHalves) {
      sums[2 * b] = -Format::kOffset * s0;
      sums[2 * b + 1] = -Format::kOffset * s1;
    } else if constexpr (Format::kMins) {
      const float sum = static_cast<float>(s0 + s1);
      __builtin_memcpy(&sums[b], &sum, sizeof(sum));
    } else {
      sums[b] = -Format::kOffset * (s0 + s1);
    }
  }
}

// acc[t] += block b's products of rows [first, first + 8) of a group with kTile rows; x.sums holds
// blocks from `begin` on.
template <typename Format, int kTile>
inline void AddBlock(const Format& format, int first, const ActivationTile& x, int64_t begin,
                     int64_t b, __m256* acc) {
  const int64_t i = b - begin;
  __m256i sums[kTile][2];
  for (int t = 0; t < kTile; ++t) {
    sums[t][0] = _mm256_set1_epi32(x.sums[t][Format::kHalves ? 2 * i : i]);
    sums[t][1] = _mm256_set1_epi32(x.sums[t][Format::kHalves ? 2 * i + 1 : i]);
  }
  format.template Dot<kTile>(b, first, x, sums);
  const __m256 scale = format.Scale(b, first, 0);
  const __m256 scale_1 = Format::kHalves ? format.Scale(b, first, 1) : scale;
  const __m256 negated_min = format.NegatedMin(b, first);
  for (int t = 0; t < kTile; ++t) {
    const __m256 dx = _mm256_set1_ps(x.scales[t][b]);
    acc[t] = _mm256_fmadd_ps(_mm256_mul_ps(scale, dx), _mm256_cvtepi32_ps(sums[t][0]), acc[t]);
    if constexpr (Format::kHalves) {
      acc[t] = _mm256_fmadd_ps(_mm256_mul_ps(scale_1, dx), _mm256_cvtepi32_ps(sums[t][1]), acc[t]);
    }
    if constexpr (Format::kMins) {
      const __m256 sum = _mm256_castsi256_ps(_mm256_set1_epi32(x.sums[t][i]));
      acc[t] = _mm256_fmadd_ps(_mm256_mul_ps(negated_min, dx), sum, acc[t]);
    }
  }
}

// Lanes below n of a mask for vmaskmov.
inline __m256i LaneMask(int64_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(n < kLanes ? n : kLanes)), lane);
}

// Products of kTile rows, whose results begin at y. A chunk after the first goes on from y.
template <typename Format, int kTile>
void MultiplyTile(const PackedView& w, ActivationTile& x, int64_t row_begin, int64_t row_end,
                  float* y, int64_t y_stride) {
  // Few rows wait for memory: both halves of a group in one pass over it.
  constexpr int kSpans = kTile <= 2 ? kPackRows / kLanes : 1;
  const int64_t n_blocks = w.cols / 32;
  const int64_t n_groups = (n_blocks + Format::kGroupBlocks - 1) / Format::kGroupBlocks;
  for (int64_t begin = 0; begin < n_blocks; begin += kChunkBlocks) {
    const int64_t end = begin + kChunkBlocks < n_blocks ? begin + kChunkBlocks : n_blocks;
    for (int t = 0; t < kTile; ++t) SumBlocks<Format>(x.q[t] + begin * 32, end - begin, x.sums[t]);
    for (int64_t n = row_begin; n < row_end; n += kSpans * kLanes) {
      const Format format{reinterpret_cast<const typename Format::Group*>(w.data) +
                          n / kPackRows * n_groups};
      const int first = static_cast<int>(n % kPackRows);
      __m256 acc[kSpans][kTile];
      for (int s = 0; s < kSpans; ++s) {
        for (int t = 0; t < kTile; ++t) {
          acc[s][t] = begin == 0 ? _mm256_setzero_ps()
                                 : _mm256_maskload_ps(y + t * y_stride + n + s * kLanes,
                                                      LaneMask(row_end - n - s * kLanes));
        }
      }
      for (int64_t b = begin; b < end; ++b) {
        for (int s = 0; s < kSpans; ++s) {
          AddBlock<Format, kTile>(format, first + s * kLanes, x, begin, b, acc[s]);
        }
      }
      for (int s = 0; s < kSpans; ++s) {
        for (int t = 0; t < kTile; ++t) {
          _mm256_maskstore_ps(y + t * y_stride + n + s * kLanes, LaneMask(row_end - n - s * kLanes),
                              acc[s][t]);
        }
      }
    }
  }
}

template <typename Format>
void MatmulQuantized(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end,
                     float* y, int64_t y_stride) {
  ActivationTile tile;
  for (int64_t i = 0; i < x.n_rows;) {
    const int64_t left = x.n_rows - i;
    const int n_tile = left >= 4 ? 4 : left >= 2 ? 2 : 1;
    for (int t = 0; t < n_tile; ++t) {
      const int64_t r = x.row_map == nullptr ? i + t : x.row_map[i + t];
      tile.q[t] = x.q8 + r * x.q8_stride;
      tile.scales[t] = x.scales + r * x.scale_stride;
    }
    float* out = y + i * y_stride;
    if (n_tile == 4) MultiplyTile<Format, 4>(w, tile, row_begin, row_end, out, y_stride);
    if (n_tile == 2) MultiplyTile<Format, 2>(w, tile, row_begin, row_end, out, y_stride);
    if (n_tile == 1) MultiplyTile<Format, 1>(w, tile, row_begin, row_end, out, y_stride);
    i += n_tile;
  }
}

// Float weights: lanes 0 to 7 and 8 to 15 of the 16 virtual ones are two registers.
struct Sixteen {
  __m256 low;
  __m256 high;
};

template <DType kType>
inline Sixteen LoadWeights(const std::byte* p) {
  if constexpr (kType == DType::kF32) {
    const float* f = reinterpret_cast<const float*>(p);
    return {_mm256_loadu_ps(f), _mm256_loadu_ps(f + 8)};
  } else {
    const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p) + 1);
    if constexpr (kType == DType::kF16) {
      return {_mm256_cvtph_ps(low), _mm256_cvtph_ps(high)};
    } else {
      return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(low), 16)),
              _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(high), 16))};
    }
  }
}

inline float SumLanes(const Sixteen& v) {
  const __m256 s8 = _mm256_add_ps(v.low, v.high);
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

template <DType kType, int kWeights, int kRows>
inline void FloatStep(const std::byte* const* w, const float* const* x, Sixteen (*acc)[kRows]) {
  Sixteen weights[kWeights];
  for (int n = 0; n < kWeights; ++n) weights[n] = LoadWeights<kType>(w[n]);
  for (int t = 0; t < kRows; ++t) {
    const __m256 low = _mm256_loadu_ps(x[t]);
    const __m256 high = _mm256_loadu_ps(x[t] + 8);
    for (int n = 0; n < kWeights; ++n) {
      acc[n][t].low = _mm256_fmadd_ps(weights[n].low, low, acc[n][t].low);
      acc[n][t].high = _mm256_fmadd_ps(weights[n].high, high, acc[n][t].high);
    }
  }
}

template <DType kType, int kWeights, int kRows>
void FloatTile(const std::byte* w, int64_t row_bytes, const float* const* x, int64_t cols, float* y,
               int64_t y_stride) {
  constexpr int kBytes = kType == DType::kF32 ? 4 : 2;
  Sixteen acc[kWeights][kRows];
  for (auto& row : acc) {
    for (Sixteen& a : row) a = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  }
  const std::byte* weights[kWeights];
  const float* rows[kRows];
  int64_t c = 0;
  for (; c + 16 <= cols; c += 16) {
    for (int n = 0; n < kWeights; ++n) weights[n] = w + n * row_bytes + c * kBytes;
    for (int t = 0; t < kRows; ++t) rows[t] = x[t] + c;
    FloatStep<kType, kWeights, kRows>(weights, rows, acc);
  }
  if (c < cols) {  // The last group, filled up with zeros.
    std::byte weight_tail[kWeights][16 * kBytes] = {};
    float row_tail[kRows][16] = {};
    for (int n = 0; n < kWeights; ++n) {
      __builtin_memcpy(weight_tail[n], w + n * row_bytes + c * kBytes,
                       static_cast<size_t>((cols - c) * kBytes));
      weights[n] = weight_tail[n];
    }
    for (int t = 0; t < kRows; ++t) {
      __builtin_memcpy(row_tail[t], x[t] + c, static_cast<size_t>(cols - c) * sizeof(float));
      rows[t] = row_tail[t];
    }
    FloatStep<kType, kWeights, kRows>(weights, rows, acc);
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
  static constexpr int kFloatTile = 2;
  template <DType kType, int kWeights, int kRows>
  static void FloatTile(const std::byte* w, int64_t row_bytes, const float* const* x, int64_t cols,
                        float* y, int64_t y_stride) {
    avx2::FloatTile<kType, kWeights, kRows>(w, row_bytes, x, cols, y, y_stride);
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

}  // namespace shoal::avx2
