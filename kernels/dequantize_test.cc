#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <set>
#include <span>

#include "kernels/block_parts.h"
#include "kernels/iq_grids.h"
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

// A grid of the IQ types: how its entries are written into a file's block, and what it is.
struct GridCase {
  DType dtype;
  size_t n_entries;
  uint64_t hash;  // Of the table, as its author's files have it.
  std::span<const uint16_t> grid;
  int elements;                                 // Of an entry.
  void (*put)(size_t index, std::byte* block);  // As the first entry of the block.
};

void PutByte(std::byte* block, size_t at, size_t value) {
  block[at] = static_cast<std::byte>(value);
}

const GridCase kGrids[] = {
    {DType::kIQ2_XXS, 256, 0x6fca17f5c451905d, kGridIQ2_XXS, 8,
     [](size_t i, std::byte* b) { PutByte(b, offsetof(BlockIQ2_XXS, q), i); }},
    {DType::kIQ2_XS, 512, 0x29d6ac8e0e6b14e3, kGridIQ2_XS, 8,
     [](size_t i, std::byte* b) {
       PutByte(b, offsetof(BlockIQ2_XS, q), i);
       PutByte(b, offsetof(BlockIQ2_XS, q) + 1, i >> 8);
     }},
    {DType::kIQ2_S, 1024, 0x641f9aa3fbd98694, kGridIQ2_S, 8,
     [](size_t i, std::byte* b) {
       PutByte(b, offsetof(BlockIQ2_S, q), i);
       PutByte(b, offsetof(BlockIQ2_S, qh), i >> 8);
     }},
    {DType::kIQ3_XXS, 256, 0x79d733576d562547, kGridIQ3_XXS, 4,
     [](size_t i, std::byte* b) { PutByte(b, offsetof(BlockIQ3_XXS, q), i); }},
    {DType::kIQ3_S, 512, 0x55b224116d1e5ca2, kGridIQ3_S, 4,
     [](size_t i, std::byte* b) {
       PutByte(b, offsetof(BlockIQ3_S, q), i);
       PutByte(b, offsetof(BlockIQ3_S, qh), i >> 8);
     }},
    {DType::kIQ1_S, 2048, 0x03f1880817eeffa4, kGridIQ1, 8,
     [](size_t i, std::byte* b) {
       PutByte(b, offsetof(BlockIQ1_S, q), i);
       PutByte(b, offsetof(BlockIQ1_S, qh), i >> 8);
     }},
    {DType::kIQ1_M, 2048, 0x03f1880817eeffa4, kGridIQ1, 8,
     [](size_t i, std::byte* b) {
       PutByte(b, offsetof(BlockIQ1_M, q), i);
       PutByte(b, offsetof(BlockIQ1_M, qh), i >> 8);
     }},
};

// Files of the fixtures hold few of the entries; here every index is read, and gives another one.
TEST(DequantizeGridTest, EveryEntryIsReached) {
  for (const GridCase& grid : kGrids) {
    const std::string name{Traits(grid.dtype).name};
    ASSERT_EQ(grid.grid.size(), grid.n_entries) << name;
    EXPECT_EQ(HashBytes(grid.grid.data(), grid.grid.size_bytes()), grid.hash) << name;
    const int bits = grid.elements == 8 ? 2 : 3;
    std::set<std::vector<int>> seen;
    for (size_t i = 0; i < grid.n_entries; ++i) {
      std::vector<std::byte> block(static_cast<size_t>(Traits(grid.dtype).block_bytes));
      grid.put(i, block.data());
      const BlockParts parts = ReadBlockParts(grid.dtype, block.data(), 0);
      seen.insert({parts.q, parts.q + grid.elements});
      for (int e = 1; e < grid.elements; ++e) {  // Larger codes are larger values.
        const auto code = [&](int at) { return (grid.grid[i] >> (bits * at)) & ((1 << bits) - 1); };
        ASSERT_EQ(code(e) < code(0), parts.q[e] < parts.q[0]) << name << " index " << i;
      }
    }
    EXPECT_EQ(seen.size(), grid.n_entries) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, DequantizeTest, testing::ValuesIn(AllTypes(DType::kF16)), TypeName);

}  // namespace
}  // namespace shoal
