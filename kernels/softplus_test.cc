#include "kernels/softplus.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace shoal {
namespace {

TEST(SoftplusTest, IsTheLogarithmOfOnePlusTheExponential) {
  for (float x = -40; x <= 70; x += 0.37F) {
    const double expected = x > 30 ? x : std::log1p(std::exp(static_cast<double>(x)));
    EXPECT_NEAR(Softplus(x), expected, 1e-15 + 2e-7 * expected) << x;
  }
}

TEST(SoftplusTest, EndsAreExact) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Softplus(-kInfinity), 0);
  EXPECT_EQ(Softplus(-100), 0);
  EXPECT_EQ(Softplus(100), 100);
  EXPECT_EQ(Softplus(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(Softplus(std::numeric_limits<float>::quiet_NaN())));
}

// The bits of a value or two, whatever the machine.
TEST(SoftplusTest, GoldenBits) { EXPECT_EQ(Softplus(0), 0x1.62e43p-1F); }

}  // namespace
}  // namespace shoal
