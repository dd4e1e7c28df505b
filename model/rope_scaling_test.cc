#include "model/rope_scaling.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::Each;

TEST(RopeScalingTest, YarnKeepsQuickPairsAndStretchesSlowOnes) {
  const YarnScaling yarn{.factor = 8, .original_context = 4096};
  const std::vector<float> divisors = YarnDivisors(yarn, 10000, 128);
  EXPECT_EQ(divisors.front(), 1);
  EXPECT_EQ(divisors.back(), 8);
  for (size_t i = 1; i < divisors.size(); ++i) EXPECT_GE(divisors[i], divisors[i - 1]);
}

// The ramp of gpt-oss lies between 8.09 and 17.40; rounded it is from 8 to 18.
TEST(RopeScalingTest, EndsOfTheRampAreWholePairsOnlyWhereTheyAreRounded) {
  YarnScaling yarn{.factor = 32, .original_context = 4096};
  const std::vector<float> rounded = YarnDivisors(yarn, 150000, 64);
  yarn.truncate = false;
  const std::vector<float> exact = YarnDivisors(yarn, 150000, 64);
  EXPECT_EQ(rounded[8], 1);
  EXPECT_GT(rounded[17], 1);
  EXPECT_LT(rounded[17], 32);
  EXPECT_EQ(exact[8], 1);
  EXPECT_GT(exact[17], rounded[17]);
  EXPECT_EQ(exact[18], 32);
  const double low = 64 * std::log(4096 / (32 * 2 * M_PI)) / (2 * std::log(150000));
  const double high = 64 * std::log(4096 / (2 * M_PI)) / (2 * std::log(150000));
  const double ramp = (12 - low) / (high - low);
  EXPECT_NEAR(exact[12], 1 / (ramp / 32 + 1 - ramp), 1e-5);
}

TEST(RopeScalingTest, AFactorOfOneChangesNothing) {
  EXPECT_THAT(YarnDivisors({.factor = 1, .original_context = 64}, 10000, 32), Each(1));
  EXPECT_EQ(YarnMagnitude(1), 1);
  EXPECT_NEAR(YarnMagnitude(8), 1.2079442, 1e-6);
}

// A context so short that every pair turns less than once: the ramp has no width.
TEST(RopeScalingTest, ARampWithoutWidthIsAStep) {
  EXPECT_THAT(YarnDivisors({.factor = 4, .original_context = 1}, 10000, 8), ::testing::SizeIs(4));
}

}  // namespace
}  // namespace shoal
