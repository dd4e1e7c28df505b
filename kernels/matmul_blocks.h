#pragma once

#include "kernels/matmul.h"
#include "kernels/matmul_floats.h"
#include "kernels/matmul_formats.h"

// The body of products with block-quantized weights, one for all instruction sets. A lane of a
// register is one output: S::kLanes rows of weights at once, and up to S::kMaxTile rows of
// activations in a pass over them, so that unpacking is paid once. A block's integer sums are
// exact, however they are formed; the float steps have the contract's order.
//
// S is one instruction set:
//   kLanes, kMaxTile, kSigned
//   Bytes, Ints, Floats      registers: 4 bytes, an i32, an f32 of each of kLanes rows
//   LoadBytes(p)             kLanes words of 4 bytes
//   Field<kShift, kMask>(v)  every byte moved right by kShift bits (left if negative), masked
//   Or(a, b), Lookup(table, v), SubBytes(a, n) (if kSigned)    bytewise; Lookup: table[16] at the
//                            indices v
//   FromF16, FromU8, FromI8 (p)    kLanes numbers as Floats, exactly
//   FromE8M0Halved(p)        2^(e - 128) of kLanes exponents, NaN for e = 255
//   ToFloats(i), SetInts(n), SetFloats(x), Mul, MulAdd (a * b + c in one rounding), Negate
//   LoadFirst(p, n), StoreFirst(p, n, v)    the first n lanes; all from kLanes on, none below 1
//                            (which is not asked of 16 lanes)
//   Dot<kLargest, kFirst, kCount, kTile>(w, q, sums)
//                            sums[t] += sum over words k in [kFirst, kFirst + kCount) of w[k]'s
//                            bytes times q[t]'s bytes 4k to 4k + 3
//   HalfSums(q, sums)        sums[8] of the 16-element halves of four blocks
//   kPairsFrom, PairRows(a, b, n_blocks, out)    or neither: from how many rows of activations on
//                            Dot takes them in pairs, and how two become one: 64 bytes a block,
//                            which are q[t] of an even t; the last of an odd kTile is paired with
//                            itself
// Dot takes weights as unsigned bytes up to kLargest, or if kSigned as signed ones; any int8 may
// stand in q. What makes weights unsigned is taken off by starting a block's sum from -kOffset
// times the sum of its activations.
namespace shoal {
namespace {

constexpr int64_t kChunkBlocks = 256;  // Columns are cut here so that block sums fit the stack.
static_assert(kChunkBlocks % 4 == 0);  // HalfSums takes four blocks.

// Rows of activations, with what their blocks' sums give. Per block, per half block if kHalves:
// -kOffset * sum as an integer, or if kMins the sum as a float.
template <typename S>
struct ActivationTile {
  const int8_t* q[S::kMaxTile];
  const float* scales[S::kMaxTile];
  const int8_t* pairs[S::kMaxTile / 2];  // The rows of a chunk two by two, if Dot takes pairs.
  alignas(64) int32_t sums[S::kMaxTile][2 * kChunkBlocks];
};

template <typename Format>
inline int32_t StoredSum(int32_t sum) {
  if constexpr (Format::kMins) {
    const auto value = static_cast<float>(sum);
    __builtin_memcpy(&sum, &value, sizeof(sum));
    return sum;
  } else {
    return -Format::kOffset * sum;
  }
}

template <typename S, typename Format>
void SumBlocks(const int8_t* q, int64_t n_blocks, int32_t* sums) {
  alignas(64) int32_t halves[2 * kChunkBlocks];
  int64_t b = 0;
  for (; b + 4 <= n_blocks; b += 4) S::HalfSums(q + b * 32, halves + 2 * b);
  if (b < n_blocks) {
    int8_t padded[128] = {};
    __builtin_memcpy(padded, q + b * 32, static_cast<size_t>((n_blocks - b) * 32));
    S::HalfSums(padded, halves + 2 * b);
  }
  if constexpr (Format::kHalves) {
    for (int64_t i = 0; i < 2 * n_blocks; ++i) sums[i] = StoredSum<Format>(halves[i]);
  } else {
    for (int64_t i = 0; i < n_blocks; ++i) {
      sums[i] = StoredSum<Format>(halves[2 * i] + halves[2 * i + 1]);
    }
  }
}

template <typename S, typename Format>
inline void LoadWords(const typename Format::Group& group, int64_t b, int row,
                      typename S::Bytes* w) {
  Format::Words(group, b, row, w);
  if constexpr (S::kSigned && Format::kOffset != 0) {
    for (int k = 0; k < 8; ++k) w[k] = S::SubBytes(w[k], Format::kOffset);
  }
}

template <int n>
struct Count {
  static constexpr int value = n;
};

// Calls body(Count<n>()) for n from 1 to kMost.
template <int kMost, typename Body>
inline void WithCount(int n, Body body) {
  if (n == kMost) return body(Count<kMost>());
  if constexpr (kMost > 1) WithCount<kMost - 1>(n, body);
}

template <typename S, int kTile>
constexpr bool TakesPairs() {
  if constexpr (requires { S::kPairsFrom; }) return kTile >= S::kPairsFrom;
  return false;
}

// acc[t] += the products of a group's block `in_group`, rows [row, row + kLanes), with block b of
// kTile rows; x.sums begins with block `begin`.
template <typename S, typename Format, int kTile>
inline void AddBlock(const typename Format::Group& group, int64_t in_group, int row,
                     const ActivationTile<S>& x, int64_t begin, int64_t b,
                     typename S::Floats* acc) {
  constexpr int kParts = Format::kHalves ? 2 : 1;
  typename S::Bytes w[8];
  LoadWords<S, Format>(group, in_group, row, w);
  typename S::Ints sums[kParts][kTile];
  const int8_t* q[kTile];
  for (int t = 0; t < kTile; ++t) {
    q[t] = TakesPairs<S, kTile>() ? x.pairs[t / 2] + (b - begin) * 64 : x.q[t] + b * 32;
    for (int part = 0; part < kParts; ++part) {
      const bool from_zero = S::kSigned || Format::kMins || Format::kOffset == 0;
      sums[part][t] = S::SetInts(from_zero ? 0 : x.sums[t][kParts * (b - begin) + part]);
    }
  }
  S::template Dot<Format::kLargest, 0, Format::kHalves ? 4 : 8, kTile>(w, q, sums[0]);
  if constexpr (Format::kHalves) {
    S::template Dot<Format::kLargest, 4, 4, kTile>(w, q, sums[1]);
  }
  for (int part = 0; part < kParts; ++part) {
    const typename S::Floats scale = Format::Scale(group, in_group, row, part);
    for (int t = 0; t < kTile; ++t) {
      const typename S::Floats dx = S::SetFloats(x.scales[t][b]);
      acc[t] = S::MulAdd(S::Mul(scale, dx), S::ToFloats(sums[part][t]), acc[t]);
    }
  }
  if constexpr (Format::kMins) {
    for (int part = 0; part < kParts; ++part) {
      const typename S::Floats negated_min = S::Negate(Format::Min(group, in_group, row, part));
      for (int t = 0; t < kTile; ++t) {
        const typename S::Floats dx = S::SetFloats(x.scales[t][b]);
        float sum;
        __builtin_memcpy(&sum, &x.sums[t][kParts * (b - begin) + part], sizeof(sum));
        acc[t] = S::MulAdd(S::Mul(negated_min, dx), S::SetFloats(sum), acc[t]);
      }
    }
  }
}

// Asks for what comes after a group's block, block by block: a burst of requests would hold back
// loads. Inlined in any case: gcc takes a call that only prefetches for one without effect.
template <typename Format>
__attribute__((always_inline)) inline void PrefetchAfter(const typename Format::Group& group,
                                                         int64_t in_group,
                                                         const PrefetchDistances& ahead) {
  const char* begin = reinterpret_cast<const char*>(&group);
  constexpr int64_t kLines = sizeof(group) / 64;
  const char* end = begin + (in_group + 1) * kLines / Format::kGroupBlocks * 64;
  for (const char* p = begin + in_group * kLines / Format::kGroupBlocks * 64; p < end; p += 64) {
    if (ahead.near != 0) __builtin_prefetch(p + ahead.near, /*rw=*/0, /*locality=*/3);
    __builtin_prefetch(p + ahead.far, /*rw=*/0, /*locality=*/2);
  }
}

// Products of kTile rows, whose results begin at y. A chunk after the first goes on from y.
template <typename S, typename Format, int kTile>
void MultiplyTile(const PackedView& w, ActivationTile<S>& x, const PrefetchDistances& ahead,
                  int64_t row_begin, int64_t row_end, float* y, int64_t y_stride) {
  // Few rows wait for memory: all of a group's rows in one pass over it.
  constexpr int kSpans = kTile <= 2 ? kPackRows / S::kLanes : 1;
  constexpr bool kSums = Format::kMins || (!S::kSigned && Format::kOffset != 0);
  const int64_t n_blocks = w.cols / 32;
  const int64_t n_groups = (n_blocks + Format::kGroupBlocks - 1) / Format::kGroupBlocks;
  const auto* groups = reinterpret_cast<const typename Format::Group*>(w.data);
  constexpr int kPairs = (kTile + 1) / 2;  // An odd row is its own partner.
  alignas(16) int8_t pairs[TakesPairs<S, kTile>() ? kPairs * kChunkBlocks * 64 : 1];
  for (int64_t begin = 0; begin < n_blocks; begin += kChunkBlocks) {
    const int64_t end = begin + kChunkBlocks < n_blocks ? begin + kChunkBlocks : n_blocks;
    if constexpr (kSums) {
      for (int t = 0; t < kTile; ++t) {
        SumBlocks<S, Format>(x.q[t] + begin * 32, end - begin, x.sums[t]);
      }
    }
    if constexpr (TakesPairs<S, kTile>()) {
      for (int i = 0; i < kPairs; ++i) {
        x.pairs[i] = pairs + i * kChunkBlocks * 64;
        const int8_t* partner = x.q[2 * i + 1 < kTile ? 2 * i + 1 : 2 * i];
        S::PairRows(x.q[2 * i] + begin * 32, partner + begin * 32, end - begin,
                    pairs + i * kChunkBlocks * 64);
      }
    }
    for (int64_t n = row_begin; n < row_end; n += kSpans * S::kLanes) {
      const typename Format::Group* row_group = groups + n / kPackRows * n_groups;
      const int row = static_cast<int>(n % kPackRows);
      typename S::Floats acc[kSpans][kTile];
      for (int s = 0; s < kSpans; ++s) {
        for (int t = 0; t < kTile; ++t) {
          const int64_t at = n + s * S::kLanes;
          acc[s][t] =
              begin == 0 ? S::SetFloats(0.0F) : S::LoadFirst(y + t * y_stride + at, row_end - at);
        }
      }
      for (int64_t b = begin; b < end; ++b) {
        const typename Format::Group& group = row_group[b / Format::kGroupBlocks];
        const int64_t in_group = b % Format::kGroupBlocks;
        if (ahead.far != 0 && row == 0) PrefetchAfter<Format>(group, in_group, ahead);
        for (int s = 0; s < kSpans; ++s) {
          AddBlock<S, Format, kTile>(group, in_group, row + s * S::kLanes, x, begin, b, acc[s]);
        }
      }
      for (int s = 0; s < kSpans; ++s) {
        for (int t = 0; t < kTile; ++t) {
          const int64_t at = n + s * S::kLanes;
          S::StoreFirst(y + t * y_stride + at, row_end - at, acc[s][t]);
        }
      }
    }
  }
}

template <typename S, typename Format>
void MultiplyBlocks(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end,
                    float* y, int64_t y_stride) {
  ActivationTile<S> tile;
  PrefetchDistances ahead = WeightPrefetch(x.n_rows, Format::kMins);
  for (int64_t i = 0; i < x.n_rows;) {
    const int64_t left = x.n_rows - i;
    const int n_tile = left < S::kMaxTile ? static_cast<int>(left) : S::kMaxTile;
    for (int t = 0; t < n_tile; ++t) {
      const int64_t r = x.row_map == nullptr ? i + t : x.row_map[i + t];
      tile.q[t] = x.q8 + r * x.q8_stride;
      tile.scales[t] = x.scales + r * x.scale_stride;
    }
    WithCount<S::kMaxTile>(n_tile, [&](auto n) {
      MultiplyTile<S, Format, decltype(n)::value>(w, tile, ahead, row_begin, row_end,
                                                  y + i * y_stride, y_stride);
    });
    i += n_tile;
    ahead = {};  // After the first pass weights are near.
  }
}

// Calls body(format) with the format of quantized weights.
template <typename S, typename Body>
inline void WithFormat(DType dtype, Body body) {
  switch (dtype) {
    case DType::kQ8_0:
      return body(FormatQ8_0<S>());
    case DType::kQ4_0:
      return body(FormatQ4_0<S>());
    case DType::kQ4_K:
      return body(FormatQ4_K<S>());
    case DType::kQ6_K:
      return body(FormatQ6_K<S>());
    case DType::kQ5_K:
      return body(FormatQ5_K<S>());
    case DType::kIQ4_XS:
      return body(FormatIQ4_XS<S>());
    case DType::kMXFP4:
      return body(FormatMXFP4<S>());
    case DType::kTQ2_0:
    case DType::kTQ1_0:
      return body(FormatTQ2_0<S>());
    case DType::kQ1_0:
    case DType::kQ2_0:
      return body(FormatQ2_0<S>());
    case DType::kQ4_1:
      return body(FormatQ4_1<S>());
    case DType::kQ5_0:
      return body(FormatQ5_0<S>());
    case DType::kQ5_1:
      return body(FormatQ5_1<S>());
    case DType::kQ2_K:
      return body(FormatQ2_K<S>());
    case DType::kIQ4_NL:
      return body(FormatIQ4_NL<S>());
    case DType::kNVFP4:
      return body(FormatNVFP4<S>());
    case DType::kIQ2_XXS:
    case DType::kIQ3_XXS:
    case DType::kIQ3_S:
    case DType::kIQ1_S:
      return body(FormatCoded<S, 8>());
    case DType::kQ3_K:
    case DType::kIQ2_XS:
    case DType::kIQ2_S:
    case DType::kIQ1_M:
      return body(FormatCoded<S, 16>());
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
      return;
  }
}

// Matmul of kernels/matmul.h.
template <typename S>
void MultiplyAny(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end,
                 float* y, int64_t y_stride) {
  switch (w.dtype) {
    case DType::kF32:
      return MultiplyFloats<float>(w, x, row_begin, row_end, y, y_stride);
    case DType::kF16:
      return MultiplyFloats<F16>(w, x, row_begin, row_end, y, y_stride);
    case DType::kBF16:
      return MultiplyFloats<BF16>(w, x, row_begin, row_end, y, y_stride);
    default:
      break;
  }
  if (x.f32 != nullptr) return MultiplyDequantized(w, x, row_begin, row_end, y, y_stride);
  WithFormat<S>(w.dtype, [&](auto format) {
    MultiplyBlocks<S, decltype(format)>(w, x, row_begin, row_end, y, y_stride);
  });
}

}  // namespace
}  // namespace shoal
