#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/kernels_testing.h"

namespace shoal {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(QuantizeTest, TiesGoToTheEvenInteger) {
  // amax 127 makes the factor exactly 1.
  std::vector<float> x(32, 0.0F);
  x[0] = 127.0F;
  x[1] = 0.5F;
  x[2] = 1.5F;
  x[3] = 2.5F;
  x[4] = -0.5F;
  x[5] = -2.5F;
  x[6] = -126.5F;
  x[7] = std::nextafter(2.5F, 3.0F);
  for (const KernelTable* kernels : AvailableKernels()) {
    const QuantizedRows rows(*kernels, x, 1, 32);
    const int8_t expected[8] = {127, 0, 2, 2, 0, -2, -126, 3};
    for (int i = 0; i < 8; ++i) EXPECT_EQ(rows.q8[static_cast<size_t>(i)], expected[i]) << i;
    EXPECT_EQ(rows.scales[0], 1.0F);
  }
}

TEST(QuantizeTest, TinyBlocksAreZerosAndNonFiniteOnesAreNan) {
  std::vector<float> x(96, 0.0F);
  x[3] = 0x1.fffffep-101F;
  x[32 + 5] = 0x1p-100F;
  x[64 + 7] = kInf;
  x[64 + 8] = 1.0F;
  for (const KernelTable* kernels : AvailableKernels()) {
    const QuantizedRows rows(*kernels, x, 1, 96);
    EXPECT_EQ(rows.scales[0], 0.0F);
    EXPECT_EQ(rows.q8[3], 0);
    EXPECT_EQ(rows.scales[1], 0x1p-100F / 127.0F);
    EXPECT_EQ(rows.q8[32 + 5], 127);
    EXPECT_TRUE(std::isnan(rows.scales[2]));
    EXPECT_EQ(rows.q8[64 + 8], 0);
  }
}

TEST(QuantizeTest, AShortLastBlockIsFilledUpWithZeros) {
  std::vector<float> x(40, 1.0F);
  for (const KernelTable* kernels : AvailableKernels()) {
    std::vector<int8_t> q(64, 99);
    float scales[2];
    kernels->quantize_row(x.data(), 40, q.data(), scales);
    for (int i = 0; i < 64; ++i) EXPECT_EQ(q[static_cast<size_t>(i)], i < 40 ? 127 : 0) << i;
  }
}

TEST(F16Test, ScalarConversionsAreInverseForEveryF16) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = F32FromF16(half);
    if (std::isnan(value)) continue;
    ASSERT_EQ(F16FromF32(value), half) << bits;
  }
}

// Halfway between two neighbours goes to the even one, a hair off it to the nearer one.
TEST(F16Test, RoundsHalfToEven) {
  for (uint32_t bits = 0; bits < 0x7BFF; ++bits) {
    const float low = F32FromF16(static_cast<uint16_t>(bits));
    const float high = F32FromF16(static_cast<uint16_t>(bits + 1));
    const float middle = (low + high) * 0.5F;
    ASSERT_EQ(F16FromF32(middle), bits + (bits & 1)) << bits;
    ASSERT_EQ(F16FromF32(std::nextafter(middle, 0.0F)), bits) << bits;
    ASSERT_EQ(F16FromF32(std::nextafter(middle, kInf)), bits + 1) << bits;
  }
  EXPECT_EQ(F16FromF32(65519.996F), 0x7BFF);
  EXPECT_EQ(F16FromF32(65520.0F), 0x7C00);
}

TEST(F16RowTest, KeepsElevenBitsAtAnyMagnitude) {
  for (const KernelTable* kernels : AvailableKernels()) {
    for (const float magnitude : {1e-30F, 1e-6F, 1.0F, 1e6F, 1e30F}) {
      std::vector<float> x = RandomFloats(77, 5);
      for (float& v : x) v *= magnitude;
      std::vector<uint16_t> half(x.size());
      std::vector<float> back(x.size());
      float scale = 0.0F;
      kernels->encode_f16_row(x.data(), 77, half.data(), &scale);
      int exponent = 0;
      EXPECT_EQ(std::frexp(scale, &exponent), 0.5F) << "not a power of two: " << scale;
      kernels->decode_f16_row(half.data(), 77, scale, back.data());
      for (size_t i = 0; i < x.size(); ++i) {
        EXPECT_NEAR(back[i], x[i], std::abs(x[i]) * 0x1p-11F + magnitude * 0x1p-30F) << i;
      }
    }
  }
}

TEST(F16RowTest, ZerosHaveScaleOneAndNonFiniteRowsAreNan) {
  for (const KernelTable* kernels : AvailableKernels()) {
    std::vector<float> x(33, 0.0F);
    std::vector<uint16_t> half(33, 1);
    float scale = 0.0F;
    kernels->encode_f16_row(x.data(), 33, half.data(), &scale);
    EXPECT_EQ(scale, 1.0F);
    EXPECT_EQ(half[32], 0);
    x[32] = -kInf;
    x[0] = 1.0F;
    kernels->encode_f16_row(x.data(), 33, half.data(), &scale);
    EXPECT_TRUE(std::isnan(scale));
    EXPECT_EQ(half[0], 0);
  }
}

// Every rounding of a row, NaN scales made alike.
std::vector<uint32_t> AllRoundings(const KernelTable& kernels, const std::vector<float>& x) {
  const int64_t n = static_cast<int64_t>(x.size());
  const QuantizedRows rows(kernels, x, 1, n);
  std::vector<uint32_t> bits(rows.q8.begin(), rows.q8.end());
  const auto keep = [&](float v) {
    bits.push_back(std::isnan(v) ? 0x7FC00000U : std::bit_cast<uint32_t>(v));
  };
  for (const float scale : rows.scales) keep(scale);
  std::vector<uint16_t> half(x.size());
  float scale = 0.0F;
  kernels.encode_f16_row(x.data(), n, half.data(), &scale);
  keep(scale);
  bits.insert(bits.end(), half.begin(), half.end());
  std::vector<float> back(x.size());
  kernels.decode_f16_row(half.data(), n, scale, back.data());
  for (const float v : back) keep(v);
  kernels.store_kv(x.data(), n, KvType::kF16, half.data());
  const auto keep_half = [&](uint16_t h) { bits.push_back((h & 0x7FFF) > 0x7C00 ? 0x7E00 : h); };
  for (const uint16_t h : half) keep_half(h);
  std::vector<BlockQ8_0> blocks((x.size() + 31) / 32);
  kernels.store_kv(x.data(), n, KvType::kQ8_0, blocks.data());
  for (const BlockQ8_0& block : blocks) {
    keep_half(block.d);
    bits.insert(bits.end(), block.q, block.q + 32);
  }
  return bits;
}

TEST(QuantizeTest, EveryVariantGivesTheScalarBits) {
  for (const int64_t n : {1, 7, 8, 31, 32, 33, 63, 64, 100, 2048, 2053}) {
    for (const float magnitude : {1.0F, 1e-39F, 1e-30F, 1e-6F, 3e4F, 1e37F}) {
      for (const float special : {0.0F, -0.0F, INFINITY, NAN, 65520.0F, 3.4028235e38F}) {
        std::vector<float> x = RandomFloats(n, 7);
        for (float& v : x) v *= magnitude;
        x[static_cast<size_t>(n / 3)] = special;
        const std::vector<uint32_t> truth = AllRoundings(*AvailableKernels().front(), x);
        for (const KernelTable* kernels : AvailableKernels()) {
          ASSERT_EQ(AllRoundings(*kernels, x), truth)
              << IsaName(kernels->isa) << " n " << n << " magnitude " << magnitude << " special "
              << special;
        }
      }
    }
  }
}

TEST(StoreKvTest, Q8HasTheScaleOfItsBlockAsF16) {
  const std::vector<float> x = RandomFloats(71, 6);
  for (const KernelTable* kernels : AvailableKernels()) {
    BlockQ8_0 blocks[3];
    kernels->store_kv(x.data(), 71, KvType::kQ8_0, blocks);
    const QuantizedRows rounded(*kernels, x, 1, 71);
    for (size_t i = 0; i < 96; ++i) {
      EXPECT_EQ(blocks[i / 32].q[i % 32], rounded.q8[i]) << i;
      EXPECT_EQ(blocks[i / 32].d, F16FromF32(rounded.scales[i / 32])) << i;
    }
  }
}

TEST(StoreKvTest, F32IsKeptAndF16IsRounded) {
  const std::vector<float> x = RandomFloats(71, 6);
  for (const KernelTable* kernels : AvailableKernels()) {
    std::vector<float> as_f32(x.size());
    std::vector<uint16_t> as_f16(x.size());
    kernels->store_kv(x.data(), 71, KvType::kF32, as_f32.data());
    kernels->store_kv(x.data(), 71, KvType::kF16, as_f16.data());
    EXPECT_EQ(as_f32, x);
    for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(as_f16[i], F16FromF32(x[i])) << i;
  }
}

}  // namespace
}  // namespace shoal
