#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"

// Weights in a kernel's order and the products with them. Contract of Matmul (docs/arithmetic.md
// section 5): y[i * y_stride + n] = W[n] . x[i] for every row i of x and n in [row_begin, row_end);
// nothing else of y is written. row_begin is a multiple of kPackRows. W: [rows, cols].
//
// q8 rows with quantized weights; cols is a multiple of the weight type's block. For each block of
// 32, ascending, with integer sums S over all 32, S0 and S1 over its halves, B of the activations
// alone, and dx the activations' scale:
//   one factor f           acc = fma(f * dx, float(S), acc)
//   and a minimum m        then acc = fma(-m * dx, float(B), acc)
//   factors of 16 elements acc = fma(f0 * dx, float(S0), acc), acc = fma(f1 * dx, float(S1), acc)
//   and minima of 16       then the same with -m0 and -m1, and B of the halves
// What a type's factors and minima are is kernels/weight_block.h, as numbers docs/arithmetic.md.
// QuantizeRow makes no -128, but rows from elsewhere and weights may hold it: any int8 is exact.
//
// f32 rows with any weights: weights as f32 (quantized ones dequantized, each rounded once), 16
// lanes, element i to lane i mod 16, ascending, fma; a short last group is filled up with zeros;
// lanes added as ((l, l + 8), (l, l + 4), (l, l + 2), (0, 1)).
namespace shoal {

// How far ahead of their use products with `n_rows` rows ask for quantized weights, with minima or
// without, in bytes, into the first-level and the second-level cache; 0: not at all. What this
// processor reads quickest with (docs/performance.md); in cpu_features.cc.
struct PrefetchDistances {
  int64_t near;
  int64_t far;
};
PrefetchDistances WeightPrefetch(int64_t n_rows, bool minima);

namespace scalar {  // File order, rows one after another.
int64_t PackedBytes(DType dtype, int64_t rows, int64_t cols);
void PackRows(DType dtype, int64_t rows, int64_t cols, int64_t first_row, int64_t n_rows,
              const std::byte* src, std::byte* packed);
void UnpackRow(const PackedView& w, int64_t row, float* out);
void Matmul(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end, float* y,
            int64_t y_stride);
}  // namespace scalar

// Packed by kernels/row_groups.h; these read that order.
namespace avx2 {
void Matmul(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end, float* y,
            int64_t y_stride);
}  // namespace avx2
namespace avxvnni {
void Matmul(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end, float* y,
            int64_t y_stride);
}  // namespace avxvnni
namespace avx512 {
void Matmul(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end, float* y,
            int64_t y_stride);
}  // namespace avx512
namespace amx {  // Few rows, and float weights, as avx512.
void Matmul(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end, float* y,
            int64_t y_stride);
}  // namespace amx
namespace neon {
void Matmul(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end, float* y,
            int64_t y_stride);
}  // namespace neon
namespace neon_dotprod {
void Matmul(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end, float* y,
            int64_t y_stride);
}  // namespace neon_dotprod
namespace neon_i8mm {
void Matmul(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end, float* y,
            int64_t y_stride);
}  // namespace neon_i8mm

}  // namespace shoal
