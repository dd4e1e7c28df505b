#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/kernels_testing.h"

namespace shoal {
namespace {

TEST(ExpTest, IsWithinOneAndAHalfUlpFromSubnormalsToInfinity) {
  double worst = 0.0;
  for (float x = -103.9F; x < 88.72F; x += 0.00137F) {
    const double exact = std::exp(static_cast<double>(x));
    const float got = Exp(x);
    const double ulp =
        std::nextafter(static_cast<float>(exact), std::numeric_limits<float>::infinity()) -
        static_cast<double>(static_cast<float>(exact));
    worst = std::max(worst, std::abs(got - exact) / ulp);
  }
  EXPECT_LT(worst, 1.5);
  EXPECT_EQ(Exp(0.0F), 1.0F);
  EXPECT_EQ(Exp(-104.5F), 0.0F);
  EXPECT_EQ(Exp(-std::numeric_limits<float>::infinity()), 0.0F);
  EXPECT_EQ(Exp(89.5F), std::numeric_limits<float>::infinity());
  EXPECT_GT(Exp(-103.0F), 0.0F);
  EXPECT_TRUE(std::isnan(Exp(std::numeric_limits<float>::quiet_NaN())));
}

TEST(ElementwiseTest, RmsNormMatchesDouble) {
  const std::vector<float> x = RandomFloats(1037, 11);
  const std::vector<float> w = RandomFloats(1037, 12);
  double sum = 0.0;
  for (const float v : x) sum += static_cast<double>(v) * v;
  const double r = 1.0 / std::sqrt(sum / 1037 + 1e-6);
  for (const KernelTable* kernels : AvailableKernels()) {
    std::vector<float> out(x.size());
    kernels->rms_norm(x.data(), w.data(), 1037, 1e-6F, out.data());
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = x[i] * r * w[i];
      ASSERT_NEAR(out[i], exact, std::abs(exact) * 1e-6);
    }
  }
}

TEST(ElementwiseTest, SoftmaxMatchesDouble) {
  const std::vector<float> x = RandomFloats(131, 13);
  double sum = 0.0;
  for (const float v : x) sum += std::exp(static_cast<double>(v));
  for (const KernelTable* kernels : AvailableKernels()) {
    std::vector<float> out = x;
    kernels->softmax(out.data(), 131);
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = std::exp(static_cast<double>(x[i])) / sum;
      ASSERT_NEAR(out[i], exact, exact * 1e-5);
    }
  }
}

TEST(ElementwiseTest, SiluMulAxpyAndAddMatchTheirFormulas) {
  const std::vector<float> a = RandomFloats(53, 14);
  const std::vector<float> b = RandomFloats(53, 15);
  for (const KernelTable* kernels : AvailableKernels()) {
    std::vector<float> silu(a.size());
    std::vector<float> axpy = b;
    std::vector<float> sum = b;
    kernels->silu_mul(a.data(), b.data(), 53, silu.data());
    kernels->axpy(0.7F, a.data(), 53, axpy.data());
    kernels->add(a.data(), 53, sum.data());
    for (size_t i = 0; i < a.size(); ++i) {
      const double g = a[i];
      const double exact = g / (1.0 + std::exp(-g)) * b[i];
      ASSERT_NEAR(silu[i], exact, std::abs(exact) * 1e-6 + 1e-30);
      ASSERT_EQ(axpy[i], std::fma(0.7F, a[i], b[i]));
      ASSERT_EQ(sum[i], a[i] + b[i]);
    }
  }
}

}  // namespace
}  // namespace shoal
