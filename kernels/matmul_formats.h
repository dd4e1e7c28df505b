#pragma once

// What the instruction sets' products share: which body a format takes, and the tiles of float
// products. Included by matmul_avx2.cc and _avx512.cc; private to each. Kernels names the bodies:
//   kFloatTile: most rows of weights, and of activations, that FloatTile takes at once;
//   FloatTile<kType, kWeights, kRows>(w, row_bytes, x, cols, y, y_stride): their products;
//   Quantized<kType>(w, x, row_begin, row_end, y, y_stride): products with int8 rows.
namespace shoal {
namespace {

template <typename Kernels, DType kType, int kRows>
void FloatRows(const PackedView& w, const float* const* x, int64_t row_begin, int64_t row_end,
               float* y, int64_t y_stride) {
  constexpr int kTile = Kernels::kFloatTile;
  const int64_t row_bytes = w.cols * (kType == DType::kF32 ? 4 : 2);
  int64_t n = row_begin;
  for (; n + kTile <= row_end; n += kTile) {
    Kernels::template FloatTile<kType, kTile, kRows>(w.data + n * row_bytes, row_bytes, x, w.cols,
                                                     y + n, y_stride);
  }
  for (; n < row_end; ++n) {
    Kernels::template FloatTile<kType, 1, kRows>(w.data + n * row_bytes, row_bytes, x, w.cols,
                                                 y + n, y_stride);
  }
}

template <typename Kernels, DType kType>
void MatmulFloat(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end,
                 float* y, int64_t y_stride) {
  constexpr int kTile = Kernels::kFloatTile;
  for (int64_t i = 0; i < x.n_rows;) {
    const int n_tile = x.n_rows - i >= kTile ? kTile : 1;
    const float* rows[kTile];
    for (int t = 0; t < n_tile; ++t) {
      const int64_t r = x.row_map == nullptr ? i + t : x.row_map[i + t];
      rows[t] = x.f32 + r * x.f32_stride;
    }
    float* out = y + i * y_stride;
    if (n_tile == kTile) {
      FloatRows<Kernels, kType, kTile>(w, rows, row_begin, row_end, out, y_stride);
    } else {
      FloatRows<Kernels, kType, 1>(w, rows, row_begin, row_end, out, y_stride);
    }
    i += n_tile;
  }
}

template <typename Kernels>
void MatmulAnyFormat(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end,
                     float* y, int64_t y_stride) {
  const auto quantized = [&](auto body) {
    if (x.f32 == nullptr) return body(w, x, row_begin, row_end, y, y_stride);
    grouped::MatmulDequantized(w, x, row_begin, row_end, y, y_stride);
  };
  switch (w.dtype) {
    case DType::kF32:
      return MatmulFloat<Kernels, DType::kF32>(w, x, row_begin, row_end, y, y_stride);
    case DType::kF16:
      return MatmulFloat<Kernels, DType::kF16>(w, x, row_begin, row_end, y, y_stride);
    case DType::kBF16:
      return MatmulFloat<Kernels, DType::kBF16>(w, x, row_begin, row_end, y, y_stride);
    case DType::kQ8_0:
      return quantized(Kernels::template Quantized<DType::kQ8_0>);
    case DType::kQ4_0:
      return quantized(Kernels::template Quantized<DType::kQ4_0>);
    case DType::kQ4_K:
      return quantized(Kernels::template Quantized<DType::kQ4_K>);
    case DType::kQ6_K:
      return quantized(Kernels::template Quantized<DType::kQ6_K>);
    case DType::kQ5_K:
    case DType::kIQ4_XS:
    case DType::kMXFP4:
    case DType::kTQ2_0:
      return quantized(grouped::MatmulBlocks);
  }
}

}  // namespace
}  // namespace shoal
