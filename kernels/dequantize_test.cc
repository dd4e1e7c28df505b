#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "kernels/kernels_testing.h"
#include "tests/support/safetensors.h"

namespace shoal {
namespace {

// Four rows of 1024 values, quantized and read back by llama.cpp and by gguf-py; row 2 holds a
// run of zeros, all rows outliers.
class DequantizeTest : public testing::TestWithParam<DType> {};

std::string TypeName(const testing::TestParamInfo<DType>& info) {
  return std::string(Traits(info.param).name);
}

TEST_P(DequantizeTest, GivesTheValuesOfTheFixturesExactly) {
  const TestTensors tensors = ReadTestTensors("tests/data/quants/blocks.safetensors");
  const std::string name{Traits(GetParam()).name};
  const TestTensor& bytes = tensors.at(name + ".bytes");
  const std::vector<float> values = tensors.at(name + ".values").As<float>();
  const int64_t rows = 4;
  const int64_t cols = 1024;
  ASSERT_EQ(static_cast<int64_t>(bytes.bytes.size()), rows * RowBytes(GetParam(), cols));
  ASSERT_EQ(static_cast<int64_t>(values.size()), rows * cols);
  for (const KernelTable* kernels : AvailableKernels()) {
    const PackedMatrix matrix = Pack(*kernels, GetParam(), rows, cols, bytes.bytes);
    std::vector<float> row(static_cast<size_t>(cols));
    for (int64_t r = 0; r < rows; ++r) {
      kernels->unpack_row(matrix.view(), r, row.data());
      for (int64_t c = 0; c < cols; ++c) {
        ASSERT_EQ(row[static_cast<size_t>(c)], values[static_cast<size_t>(r * cols + c)])
            << IsaName(kernels->isa) << " row " << r << " column " << c;
      }
    }
  }
}

// Every e, beside its definition: 2^(e - 127) times the values of FP4.
TEST(DequantizeMxfp4Test, EveryScaleIsReadExactly) {
  const float fp4[8] = {0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
  for (const KernelTable* kernels : AvailableKernels()) {
    std::vector<std::byte> file(256 * sizeof(BlockMXFP4));
    for (size_t e = 0; e < 256; ++e) {
      BlockMXFP4 block{.e = static_cast<uint8_t>(e), .q = {}};
      for (size_t i = 0; i < 16; ++i) block.q[i] = static_cast<uint8_t>(i | (15 - i) << 4);
      std::memcpy(file.data() + e * sizeof(block), &block, sizeof(block));
    }
    const PackedMatrix matrix = Pack(*kernels, DType::kMXFP4, 1, 256 * 32, file);
    std::vector<float> row(256 * 32);
    kernels->unpack_row(matrix.view(), 0, row.data());
    for (int e = 0; e < 256; ++e) {
      for (int i = 0; i < 32; ++i) {
        const int nibble = i < 16 ? i : 31 - i;
        const double value = std::ldexp(fp4[nibble % 8], e - 127) * (nibble < 8 ? 1.0 : -1.0);
        const float got = row[static_cast<size_t>(32 * e + i)];
        if (e == 255) {
          ASSERT_TRUE(std::isnan(got)) << i;
        } else {
          ASSERT_EQ(got, static_cast<float>(value)) << "e " << e << " element " << i;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, DequantizeTest,
                         testing::Values(DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0,
                                         DType::kQ4_K, DType::kQ6_K, DType::kQ5_K, DType::kIQ4_XS,
                                         DType::kMXFP4, DType::kTQ2_0),
                         TypeName);

}  // namespace
}  // namespace shoal
