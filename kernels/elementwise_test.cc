#include <gtest/gtest.h>

#include <algorithm>
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

TEST(ElementwiseTest, LayerNormMatchesDouble) {
  const std::vector<float> x = RandomFloats(1037, 11);
  const std::vector<float> w = RandomFloats(1037, 12);
  const std::vector<float> bias = RandomFloats(1037, 18);
  double mean = 0.0;
  for (const float v : x) mean += v / 1037.0;
  double variance = 0.0;
  for (const float v : x) variance += (v - mean) * (v - mean) / 1037.0;
  const double r = 1.0 / std::sqrt(variance + 1e-6);
  for (const KernelTable* kernels : AvailableKernels()) {
    std::vector<float> out = x;
    kernels->layer_norm(out.data(), w.data(), bias.data(), 1037, 1e-6F, out.data());
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_NEAR(out[i], (x[i] - mean) * r * w[i] + bias[i], 5e-6);
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

TEST(ElementwiseTest, GeluMulAndClampedSiluMulMatchTheirFormulas) {
  std::vector<float> gate;
  for (float x = -12.0F; x < 12.0F; x += 0.37F) gate.push_back(x);
  std::vector<float> up(gate.rbegin(), gate.rend());
  const auto n = static_cast<int64_t>(gate.size());
  for (const KernelTable* kernels : AvailableKernels()) {
    std::vector<float> gelu(gate.size());
    std::vector<float> clamped(gate.size());
    kernels->gelu_mul(gate.data(), up.data(), n, gelu.data());
    kernels->clamped_silu_mul(gate.data(), up.data(), n, 1.702F, 7.0F, clamped.data());
    for (size_t i = 0; i < gate.size(); ++i) {
      const double g = gate[i];
      const double inner = std::sqrt(2.0 / M_PI) * (g + 0.044715 * g * g * g);
      const double exact = 0.5 * g * (1.0 + std::tanh(inner)) * up[i];
      ASSERT_NEAR(gelu[i], exact, std::abs(exact) * 3e-5 + 1e-7);
      const double capped = std::min(g, 7.0);
      const double clamped_up = std::clamp<double>(up[i], -7.0, 7.0);
      const double swiglu = (clamped_up + 1.0) * capped / (1.0 + std::exp(-1.702 * capped));
      ASSERT_NEAR(clamped[i], swiglu, std::abs(swiglu) * 2e-6 + 1e-7);
    }
  }
}

// Every row op of a table over x (and y), one result after another; NaNs all made alike.
std::vector<uint32_t> AllOps(const KernelTable& kernels, const std::vector<float>& x,
                             const std::vector<float>& y) {
  const int64_t n = static_cast<int64_t>(x.size());
  std::vector<uint32_t> bits;
  const auto keep = [&](const std::vector<float>& values) {
    for (const float v : values) {
      bits.push_back(std::isnan(v) ? 0x7FC00000U : std::bit_cast<uint32_t>(v));
    }
  };
  std::vector<float> out(x.size());
  kernels.rms_norm(x.data(), y.data(), n, 1e-5F, out.data());
  keep(out);
  out = x;
  kernels.softmax(out.data(), n);
  keep(out);
  kernels.silu_mul(x.data(), y.data(), n, out.data());
  keep(out);
  kernels.layer_norm(x.data(), y.data(), x.data(), n, 1e-5F, out.data());
  keep(out);
  kernels.gelu_mul(x.data(), y.data(), n, out.data());
  keep(out);
  kernels.clamped_silu_mul(x.data(), y.data(), n, 1.702F, 0.5F, out.data());
  keep(out);
  kernels.clamped_silu_mul(y.data(), x.data(), n, 1.702F, 7.0F, out.data());
  keep(out);
  out = y;
  kernels.axpy(-1.37F, x.data(), n, out.data());
  keep(out);
  out = y;
  kernels.add(x.data(), n, out.data());
  keep(out);
  for (const auto rope : {kernels.rope_half, kernels.rope_adjacent}) {
    out = x;
    rope(out.data(), y.data(), y.data() + n / 2, static_cast<int>(n / 2 * 2));
    keep(out);
  }
  return bits;
}

TEST(ElementwiseTest, EveryVariantGivesTheScalarBits) {
  for (const int64_t n : {1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 64, 100, 128, 2048, 2053}) {
    std::vector<float> x = RandomFloats(n, 16);
    const std::vector<float> y = RandomFloats(n, 17);
    for (int extreme = 0; extreme < 7; ++extreme) {
      const float special[7] = {1.0F, -200.0F, 0x1p-130F, 88.9F, 3e38F, INFINITY, NAN};
      x[static_cast<size_t>(n / 2)] = special[extreme];
      const std::vector<uint32_t> truth = AllOps(*AvailableKernels().front(), x, y);
      for (const KernelTable* kernels : AvailableKernels()) {
        ASSERT_EQ(AllOps(*kernels, x, y), truth)
            << IsaName(kernels->isa) << " n " << n << " special " << special[extreme];
      }
    }
  }
}

TEST(ElementwiseTest, GeluGivesTheScalarBitsOverTheWholeRange) {
  std::vector<float> gate;
  for (float x = -30.0F; x < 30.0F; x += 0.0073F) gate.push_back(x);
  const std::vector<float> one(gate.size(), 1.0F);
  const auto n = static_cast<int64_t>(gate.size());
  std::vector<float> truth(gate.size());
  AvailableKernels().front()->gelu_mul(gate.data(), one.data(), n, truth.data());
  for (const KernelTable* kernels : AvailableKernels()) {
    std::vector<float> got(gate.size());
    kernels->gelu_mul(gate.data(), one.data(), n, got.data());
    EXPECT_EQ(Hash(got), Hash(truth)) << IsaName(kernels->isa);
  }
}

// Exp at every exponent and through every variant, seen through SiLU's quotient with gate = -x.
TEST(ElementwiseTest, SiluGivesTheScalarBitsOverTheWholeRange) {
  std::vector<float> gate;
  for (float x = -110.0F; x < 110.0F; x += 0.0173F) gate.push_back(x);
  const std::vector<float> one(gate.size(), 1.0F);
  const int64_t n = static_cast<int64_t>(gate.size());
  std::vector<float> truth(gate.size());
  AvailableKernels().front()->silu_mul(gate.data(), one.data(), n, truth.data());
  for (const KernelTable* kernels : AvailableKernels()) {
    std::vector<float> got(gate.size());
    kernels->silu_mul(gate.data(), one.data(), n, got.data());
    EXPECT_EQ(Hash(got), Hash(truth)) << IsaName(kernels->isa);
  }
}

}  // namespace
}  // namespace shoal
