#include <gtest/gtest.h>

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

INSTANTIATE_TEST_SUITE_P(Types, DequantizeTest,
                         testing::Values(DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0,
                                         DType::kQ4_K, DType::kQ6_K),
                         TypeName);

}  // namespace
}  // namespace shoal
