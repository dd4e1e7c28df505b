#include "kernels/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/kernels_testing.h"

namespace shoal {
namespace {

class MatmulTest : public testing::TestWithParam<DType> {};

std::string TypeName(const testing::TestParamInfo<DType>& info) {
  return std::string(Traits(info.param).name);
}

// The product in double over dequantized weights and activations, with the sum of magnitudes that
// bounds a float sum's error.
struct Exact {
  double value = 0.0;
  double magnitude = 0.0;
};

Exact ExactDot(const std::vector<float>& w, const float* x) {
  Exact out;
  for (size_t c = 0; c < w.size(); ++c) {
    const double product = static_cast<double>(w[c]) * x[c];
    out.value += product;
    out.magnitude += std::abs(product);
  }
  return out;
}

// Both activation forms against double. Tolerance: cols roundings of the running sum, at most.
TEST_P(MatmulTest, MatchesDouble) {
  const int64_t rows = 21;
  const int64_t cols = 512;
  const std::vector<std::byte> file = RandomWeights(GetParam(), rows, cols, 21);
  const std::vector<float> x = RandomFloats(3 * cols, 22);
  for (const KernelTable* kernels : AvailableKernels()) {
    const PackedMatrix w = Pack(*kernels, GetParam(), rows, cols, file);
    const QuantizedRows rounded(*kernels, x, 3, cols);
    std::vector<float> y(3 * 21);
    for (const bool q8 : {false, true}) {
      if (q8 && !Traits(GetParam()).quantized) continue;
      std::vector<float> used = x;
      if (q8) {
        for (size_t i = 0; i < used.size(); ++i) {
          used[i] = static_cast<float>(rounded.q8[i]) * rounded.scales[i / 32];
        }
      }
      kernels->matmul(w.view(), q8 ? rounded.view() : FloatRows(x, 3, cols), 0, rows, y.data(),
                      rows);
      for (int64_t r = 0; r < rows; ++r) {
        std::vector<float> weights(static_cast<size_t>(cols));
        kernels->unpack_row(w.view(), r, weights.data());
        for (int64_t i = 0; i < 3; ++i) {
          const Exact exact = ExactDot(weights, used.data() + i * cols);
          ASSERT_NEAR(y[static_cast<size_t>(i * rows + r)], exact.value, exact.magnitude * 0x1p-20)
              << IsaName(kernels->isa) << " q8=" << q8 << " row " << r;
        }
      }
    }
  }
}

// Bits of y for rows [begin, end) of w, n_rows rows of x chosen by a row map that goes backwards.
std::vector<uint32_t> ProductBits(const KernelTable& kernels, const PackedMatrix& w, RowsView x,
                                  const std::vector<int32_t>& row_map, int64_t begin, int64_t end) {
  x.n_rows = static_cast<int64_t>(row_map.size());
  x.row_map = row_map.data();
  const int64_t stride = w.rows() + 3;
  std::vector<float> y(static_cast<size_t>(x.n_rows * stride), -77.0F);
  kernels.matmul(w.view(), x, begin, end, y.data(), stride);
  std::vector<uint32_t> bits;
  for (const float value : y) {
    // A NaN is a NaN: which one is not part of the contract.
    bits.push_back(std::isnan(value) ? 0x7FC00000U : std::bit_cast<uint32_t>(value));
  }
  return bits;
}

struct Shape {
  int64_t rows;
  int64_t cols;
  int64_t begin;
  int64_t end;
};

// Every table this machine runs against the scalar one.
void ExpectSameBits(DType dtype, const Shape& shape, const std::vector<float>& x, int64_t n_rows,
                    bool q8, uint32_t seed) {
  const KernelTable& scalar = *AvailableKernels().front();
  const std::vector<std::byte> file = RandomWeights(dtype, shape.rows, shape.cols, seed);
  const QuantizedRows rounded(scalar, x, n_rows, shape.cols);
  std::vector<int32_t> row_map;
  for (int64_t i = n_rows - 1; i >= 0; --i) row_map.push_back(static_cast<int32_t>(i));
  const RowsView rows = q8 ? rounded.view() : FloatRows(x, n_rows, shape.cols);
  const auto bits = [&](const KernelTable& kernels) {
    const PackedMatrix w = Pack(kernels, dtype, shape.rows, shape.cols, file);
    return ProductBits(kernels, w, rows, row_map, shape.begin, shape.end);
  };
  const std::vector<uint32_t> truth = bits(scalar);
  for (const KernelTable* kernels : AvailableKernels()) {
    if (kernels == &scalar) continue;
    EXPECT_EQ(bits(*kernels), truth)
        << IsaName(kernels->isa) << " [" << shape.rows << ", " << shape.cols << "] rows "
        << shape.begin << " to " << shape.end << ", " << n_rows << " activation rows, q8=" << q8;
  }
}

// Goal: every variant gives the scalar bits. Method: shapes that end inside a row group, a lane
// group and a chunk of columns; every count of activation rows that a tile may be cut into.
TEST_P(MatmulTest, EveryVariantGivesTheScalarBits) {
  const int64_t block = std::max(Traits(GetParam()).block_elems, 1);
  std::vector<Shape> shapes = {
      {1, 256, 0, 1}, {37, 768, 16, 37}, {64, 256, 0, 64}, {23, 512, 0, 19}};
  shapes.push_back({17, 8192 + 512, 0, 17});
  if (block == 32) shapes.push_back({40, 32 * 7, 32, 40});
  if (block == 1) {
    for (const int64_t cols : {1, 15, 17, 33, 63, 1000}) shapes.push_back({19, cols, 0, 19});
  }
  for (const Shape& shape : shapes) {
    for (const int64_t n_rows : {1, 2, 3, 4, 5, 6, 7, 8, 17, 93}) {
      // Many rows of many chunks take qemu and sanitizers minutes, and are the same code for all
      // formats: a plain one, one with minima and one with two scales a block stand for them.
      const bool stands = GetParam() == DType::kQ4_0 || GetParam() == DType::kQ4_K ||
                          GetParam() == DType::kQ6_K || block == 1;
      if (n_rows == 93 && shape.cols > 4096 && !stands) continue;
      const std::vector<float> x = RandomFloats(n_rows * shape.cols, 41);
      for (const bool q8 : {false, true}) {
        if (q8 && !Traits(GetParam()).quantized) continue;
        ExpectSameBits(GetParam(), shape, x, n_rows, q8, 42);
      }
    }
  }
}

// Activations that quantize to 127 everywhere, with either sign, to zero blocks, to subnormal and
// huge scales, and to NaN: nothing saturates and nothing is flushed.
TEST_P(MatmulTest, ExtremeActivationsGiveTheScalarBits) {
  const int64_t cols = 1024;
  std::vector<float> x(static_cast<size_t>(12 * cols));  // The second six zero: enough for tiles.
  for (int64_t c = 0; c < cols; ++c) {
    x[static_cast<size_t>(c)] = 1.0F;
    x[static_cast<size_t>(cols + c)] = c % 2 == 0 ? -3e37F : 3e37F;
    x[static_cast<size_t>(2 * cols + c)] = c % 64 < 32 ? 0.0F : -1.0F;
    x[static_cast<size_t>(3 * cols + c)] = 0x1p-99F;
    x[static_cast<size_t>(4 * cols + c)] = 0x1p-140F * static_cast<float>(c % 7);
    x[static_cast<size_t>(5 * cols + c)] = c == 100 ? INFINITY : 0.5F;
  }
  for (const bool q8 : {false, true}) {
    if (q8 && !Traits(GetParam()).quantized) continue;
    ExpectSameBits(GetParam(), {33, cols, 0, 33}, x, 12, q8, 43);
  }
}

// All weights at one end of their range against all activations at one end of theirs.
TEST_P(MatmulTest, ExtremeWeightsGiveTheScalarBits) {
  if (!Traits(GetParam()).quantized)
    return ExpectSameBits(GetParam(), {3, 64, 0, 3}, RandomFloats(64, 1), 1, false, 2);
  const int64_t rows = 18;
  const int64_t cols = 512;
  const KernelTable& scalar = *AvailableKernels().front();
  for (const int fill : {0x00, 0x80, 0xFF, 0x7F}) {
    std::vector<std::byte> file = RandomWeights(GetParam(), rows, cols, 44);
    const int64_t block_bytes = Traits(GetParam()).block_bytes;
    for (size_t i = 0; i < file.size(); ++i) {
      if (!HoldsF16(GetParam(), static_cast<int64_t>(i) % block_bytes)) {
        file[i] = static_cast<std::byte>(fill);
      }
    }
    std::vector<float> x(static_cast<size_t>(2 * cols), 1.0F);
    std::fill(x.begin() + cols, x.end(), -1.0F);
    QuantizedRows rounded(scalar, x, 2, cols);
    for (int64_t c = cols; c < 2 * cols; ++c) {  // A row that no QuantizeRow made.
      rounded.q8[static_cast<size_t>(c)] = -128;
    }
    const PackedMatrix truth = Pack(scalar, GetParam(), rows, cols, file);
    const std::vector<int32_t> row_map = {0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1};  // Enough for tiles.
    for (const KernelTable* kernels : AvailableKernels()) {
      const PackedMatrix w = Pack(*kernels, GetParam(), rows, cols, file);
      EXPECT_EQ(ProductBits(*kernels, w, rounded.view(), row_map, 0, rows),
                ProductBits(scalar, truth, rounded.view(), row_map, 0, rows))
          << IsaName(kernels->isa) << " fill " << fill;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, MatmulTest, testing::ValuesIn(AllTypes(DType::kF32)), TypeName);

}  // namespace
}  // namespace shoal
