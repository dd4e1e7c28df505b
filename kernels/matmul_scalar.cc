#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/check.h"
#include "kernels/matmul.h"
#include "kernels/scalar_math.h"
#include "kernels/weight_block.h"

namespace shoal::scalar {
namespace {

const std::byte* RowOf(const PackedView& w, int64_t row) {
  return w.data + row * RowBytes(w.dtype, w.cols);
}

int32_t IntegerDot(const int8_t* a, const int8_t* b, int n) {
  int32_t sum = 0;
  for (int i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// One block of 32 of a quantized product, as the contract has it.
float AddBlock(DType dtype, const WeightBlock& w, const int8_t* x, float dx, float acc) {
  const int n = ScalesHalves(dtype) ? 16 : 32;
  for (int i = 0; i < 32; i += n) {
    const auto sum = static_cast<float>(IntegerDot(w.q + i, x + i, n));
    acc = std::fma(w.scale[i / 16] * dx, sum, acc);
  }
  for (int i = 0; HasMins(dtype) && i < 32; i += n) {
    const auto sum = static_cast<float>(std::accumulate(x + i, x + i + n, 0));
    acc = std::fma(-w.min[i / 16] * dx, sum, acc);
  }
  return acc;
}

// Columns [begin, begin + n) of a row as f32; n <= 32, begin a multiple of 32.
void ReadWeights(DType dtype, const std::byte* row, int64_t begin, int64_t n, float* out) {
  if (Traits(dtype).quantized) {
    DequantizeBlock(ReadWeightBlock(dtype, row, begin / 32), out);
    return;
  }
  if (dtype == DType::kF32) {
    std::memcpy(out, row + begin * 4, static_cast<size_t>(n) * 4);
    return;
  }
  uint16_t half[32];
  std::memcpy(half, row + begin * 2, static_cast<size_t>(n) * 2);
  for (int64_t i = 0; i < n; ++i) {
    out[i] = dtype == DType::kF16 ? F32FromF16(half[i]) : F32FromBF16(half[i]);
  }
}

float DotF32(const PackedView& w, int64_t n, const float* x) {
  const std::byte* row = RowOf(w, n);
  Lanes16 lanes;
  for (int64_t begin = 0; begin < w.cols; begin += 32) {
    const int64_t len = std::min<int64_t>(32, w.cols - begin);
    float weights[32];
    ReadWeights(w.dtype, row, begin, len, weights);
    lanes.AddProducts(weights, x + begin, len);
  }
  return lanes.Sum();
}

void MatmulQ8(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end, float* y,
              int64_t y_stride) {
  for (int64_t n = row_begin; n < row_end; ++n) {
    for (int64_t i = 0; i < x.n_rows; ++i) y[i * y_stride + n] = 0.0F;
    for (int64_t b = 0; b < w.cols / kActivationBlock; ++b) {
      const WeightBlock block = ReadWeightBlock(w.dtype, RowOf(w, n), b);
      for (int64_t i = 0; i < x.n_rows; ++i) {
        const int64_t r = x.row_map == nullptr ? i : x.row_map[i];
        const int8_t* q = x.q8 + r * x.q8_stride + b * kActivationBlock;
        float& acc = y[i * y_stride + n];
        acc = AddBlock(w.dtype, block, q, x.scales[r * x.scale_stride + b], acc);
      }
    }
  }
}

}  // namespace

int64_t PackedBytes(DType dtype, int64_t rows, int64_t cols) {
  return rows * RowBytes(dtype, cols);
}

void PackRows(DType dtype, int64_t /*rows*/, int64_t cols, int64_t first_row, int64_t n_rows,
              const std::byte* src, std::byte* packed) {
  const int64_t row_bytes = RowBytes(dtype, cols);
  std::memcpy(packed + first_row * row_bytes, src, static_cast<size_t>(n_rows * row_bytes));
}

void UnpackRow(const PackedView& w, int64_t row, float* out) {
  for (int64_t begin = 0; begin < w.cols; begin += 32) {
    ReadWeights(w.dtype, RowOf(w, row), begin, std::min<int64_t>(32, w.cols - begin), out + begin);
  }
}

void Matmul(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end, float* y,
            int64_t y_stride) {
  if (x.f32 == nullptr) {
    SHOAL_CHECK(Traits(w.dtype).quantized);
    MatmulQ8(w, x, row_begin, row_end, y, y_stride);
    return;
  }
  for (int64_t i = 0; i < x.n_rows; ++i) {
    const int64_t r = x.row_map == nullptr ? i : x.row_map[i];
    for (int64_t n = row_begin; n < row_end; ++n) {
      y[i * y_stride + n] = DotF32(w, n, x.f32 + r * x.f32_stride);
    }
  }
}

}  // namespace shoal::scalar
