#include "kernels/rope.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/kernel_table.h"

namespace shoal {
namespace {

// cos and sin of position * theta^(-2i/d) by the C library in long double, rounded once.
void ExpectAngles(int64_t position, double theta, int head_dim) {
  std::vector<float> cos(static_cast<size_t>(head_dim / 2));
  std::vector<float> sin(cos.size());
  RopeAngles(position, RopeFrequencies(theta, head_dim), cos.data(), sin.data());
  for (int i = 0; i < head_dim / 2; ++i) {
    const long double frequency = powl(theta, -2.0L * i / head_dim);
    const long double angle = static_cast<long double>(position) * frequency;
    // The angle's own error in double: a few ulp of the frequency's logarithm.
    const double bound = 0x1p-24 + 1e-15 * static_cast<double>(position);
    EXPECT_NEAR(cos[static_cast<size_t>(i)], static_cast<double>(cosl(angle)), bound)
        << position << " " << i;
    EXPECT_NEAR(sin[static_cast<size_t>(i)], static_cast<double>(sinl(angle)), bound)
        << position << " " << i;
  }
}

TEST(RopeTest, AnglesAreRightToTheLastBitOfF32) {
  for (const int64_t position : {0, 1, 2, 3, 100, 4095, 131071, 1000003, 16777215}) {
    ExpectAngles(position, 10000.0, 128);
    ExpectAngles(position, 1e6, 64);
    ExpectAngles(position, 5e5, 24);
  }
}

TEST(RopeTest, AMagnitudeScalesBeforeTheOneRounding) {
  const double frequency = 0.37;
  float cos = 0;
  float sin = 0;
  RopeAngles(5, std::span(&frequency, 1), &cos, &sin, 1.25);
  EXPECT_NEAR(cos, 1.25 * std::cos(5 * 0.37), 0x1p-24);
  EXPECT_NEAR(sin, 1.25 * std::sin(5 * 0.37), 0x1p-24);
}

TEST(RopeTest, TheTemperatureGrowsByTheLogarithmOfWholeFloors) {
  EXPECT_EQ(AttentionTemperature(0, 16, 0.1F), 1.0F);
  EXPECT_EQ(AttentionTemperature(14, 16, 0.1F), 1.0F);
  EXPECT_NEAR(AttentionTemperature(15, 16, 0.1F), 1 + 0.1 * std::log(2.0), 1e-7);
  EXPECT_NEAR(AttentionTemperature(1000000, 8192, 0.1F), 1 + 0.1 * std::log(123.0), 1e-7);
}

TEST(RopeTest, PositionZeroTurnsNothing) {
  float cos[16];
  float sin[16];
  RopeAngles(0, RopeFrequencies(10000.0, 32), cos, sin);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(cos[i], 1.0F);
    EXPECT_EQ(sin[i], 0.0F);
  }
}

TEST(RopeTest, HalfAndAdjacentTurnTheSamePairs) {
  for (const KernelTable* kernels : AvailableKernels()) {
    const int d = 24;
    std::vector<float> cos(d / 2);
    std::vector<float> sin(d / 2);
    RopeAngles(17, RopeFrequencies(10000.0, d), cos.data(), sin.data());
    std::vector<float> half(d);
    std::vector<float> adjacent(d);
    for (int i = 0; i < d / 2; ++i) {
      half[i] = adjacent[2 * i] = 0.25F * static_cast<float>(i) - 1.0F;
      half[i + d / 2] = adjacent[2 * i + 1] = 0.5F + static_cast<float>(i);
    }
    const std::vector<float> before = half;
    kernels->rope_half(half.data(), cos.data(), sin.data(), d);
    kernels->rope_adjacent(adjacent.data(), cos.data(), sin.data(), d);
    for (int i = 0; i < d / 2; ++i) {
      EXPECT_EQ(half[i], adjacent[2 * i]);
      EXPECT_EQ(half[i + d / 2], adjacent[2 * i + 1]);
      EXPECT_NEAR(half[i], before[i] * cos[i] - before[i + d / 2] * sin[i], 1e-6);
      EXPECT_NEAR(half[i + d / 2], before[i + d / 2] * cos[i] + before[i] * sin[i], 1e-6);
    }
  }
}

}  // namespace
}  // namespace shoal
