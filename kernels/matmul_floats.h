#pragma once

#include <algorithm>
#include <vector>

#include "kernels/row_groups.h"

// Products of float weights, which stay in file order: one of the contract's 16-lane sums for every
// pair of a weight row and an activation row. Written in the lanes of an f32x16_*.h header, which
// is included before it; private to the file that includes it.
namespace shoal {
namespace {

constexpr int64_t kNearBytes = 768;  // How far ahead weights are asked for.

struct F16 {
  uint16_t bits;
};
struct BF16 {
  uint16_t bits;
};

inline F32x16 LoadWeights(const float* p) { return Load(p); }
inline F32x16 LoadWeights(const F16* p) { return Load(&p->bits); }
inline F32x16 LoadWeights(const BF16* p) { return LoadBf16(&p->bits); }

template <typename T, int kWeights, int kRows>
inline void AddFloatProducts(const T* const* w, const float* const* x, int64_t c,
                             F32x16 (*acc)[kRows]) {
  F32x16 rows[kRows];
  for (int t = 0; t < kRows; ++t) rows[t] = Load(x[t] + c);
  for (int n = 0; n < kWeights; ++n) {
    const F32x16 weights = LoadWeights(w[n] + c);
    for (int t = 0; t < kRows; ++t) acc[n][t] = Fma(weights, rows[t], acc[n][t]);
  }
}

// y[t * y_stride + n] for kWeights rows of w from the first, one after another, and kRows of x.
template <typename T, int kWeights, int kRows>
void FloatTile(const T* w, const float* const* x, int64_t cols, float* y, int64_t y_stride) {
  F32x16 acc[kWeights][kRows];
  for (auto& row : acc) {
    for (F32x16& a : row) a = Broadcast(0.0F);
  }
  const T* weights[kWeights];
  for (int n = 0; n < kWeights; ++n) weights[n] = w + n * cols;
  const int64_t whole = cols / 16 * 16;
  for (int64_t c = 0; c < whole; c += 16) {
    for (const T* row : weights) {
      __builtin_prefetch(reinterpret_cast<const char*>(row + c) + kNearBytes, 0, 3);
      __builtin_prefetch(row + c + kWeights * cols, 0, 2);  // The rows after these.
    }
    AddFloatProducts<T, kWeights, kRows>(weights, x, c, acc);
  }
  if (whole < cols) {  // The last group, filled up with zeros.
    T weight_tail[kWeights][16] = {};
    float row_tail[kRows][16] = {};
    const T* weight_tails[kWeights];
    const float* row_tails[kRows];
    const auto n_tail = static_cast<size_t>(cols - whole);
    for (int n = 0; n < kWeights; ++n) {
      __builtin_memcpy(weight_tail[n], weights[n] + whole, n_tail * sizeof(T));
      weight_tails[n] = weight_tail[n];
    }
    for (int t = 0; t < kRows; ++t) {
      __builtin_memcpy(row_tail[t], x[t] + whole, n_tail * sizeof(float));
      row_tails[t] = row_tail[t];
    }
    AddFloatProducts<T, kWeights, kRows>(weight_tails, row_tails, 0, acc);
  }
  for (int n = 0; n < kWeights; ++n) {
    for (int t = 0; t < kRows; ++t) y[t * y_stride + n] = Sum(acc[n][t]);
  }
}

template <typename T, int kRows>
void MultiplyFloatRows(const PackedView& w, const float* const* x, int64_t row_begin,
                       int64_t row_end, float* y, int64_t y_stride) {
  const T* weights = reinterpret_cast<const T*>(w.data);
  int64_t n = row_begin;
  for (; n + kFloatTile <= row_end; n += kFloatTile) {
    FloatTile<T, kFloatTile, kRows>(weights + n * w.cols, x, w.cols, y + n, y_stride);
  }
  for (; n < row_end; ++n) {
    FloatTile<T, 1, kRows>(weights + n * w.cols, x, w.cols, y + n, y_stride);
  }
}

template <typename T>
void MultiplyFloats(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end,
                    float* y, int64_t y_stride) {
  for (int64_t i = 0; i < x.n_rows;) {
    const int n_tile = x.n_rows - i >= kFloatTile ? kFloatTile : 1;
    const float* rows[kFloatTile];
    for (int t = 0; t < n_tile; ++t) {
      const int64_t r = x.row_map == nullptr ? i + t : x.row_map[i + t];
      rows[t] = x.f32 + r * x.f32_stride;
    }
    float* out = y + i * y_stride;
    if (n_tile == kFloatTile) {
      MultiplyFloatRows<T, kFloatTile>(w, rows, row_begin, row_end, out, y_stride);
    } else {
      MultiplyFloatRows<T, 1>(w, rows, row_begin, row_end, out, y_stride);
    }
    i += n_tile;
  }
}

// Quantized weights with f32 rows, for the reference path: some rows of weights become floats at a
// time.
inline void MultiplyDequantized(const PackedView& w, const RowsView& x, int64_t row_begin,
                                int64_t row_end, float* y, int64_t y_stride) {
  std::vector<float> weights(kFloatTile * w.cols);
  for (int64_t n = row_begin; n < row_end; n += kFloatTile) {
    const int64_t n_rows = std::min<int64_t>(kFloatTile, row_end - n);
    for (int64_t r = 0; r < n_rows; ++r) {
      grouped::UnpackRow(w, n + r, weights.data() + r * w.cols);
    }
    const PackedView floats = {.dtype = DType::kF32,
                               .rows = n_rows,
                               .cols = w.cols,
                               .data = reinterpret_cast<const std::byte*>(weights.data())};
    MultiplyFloats<float>(floats, x, 0, n_rows, y + n, y_stride);
  }
}

}  // namespace
}  // namespace shoal
