#include "engine/sampler.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace shoal {
namespace {

TEST(SamplerTest, GreedyTakesTheLowerIdOfEquals) {
  Sampler sampler;
  EXPECT_EQ(sampler.Sample(std::vector<float>{1, 3, 3, 2}, {.temperature = 0}, 0), 1);
}

TEST(SamplerTest, ATemperatureNextToNothingIsGreedy) {
  Sampler sampler;
  EXPECT_EQ(sampler.Sample(std::vector<float>{-3, 90, 2}, {.temperature = 1e-40F}, 5), 1);
}

TEST(SamplerTest, SamePlaceAndSeedGiveTheSameChoice) {
  std::vector<float> logits(100);
  for (int i = 0; i < 100; ++i) logits[i] = std::sin(static_cast<float>(i));
  Sampler a;
  Sampler b;
  for (int64_t pos = 0; pos < 50; ++pos) {
    for (const float top_p : {1.0F, 0.7F}) {
      const SamplingParams params{.temperature = 0.8F, .top_p = top_p, .seed = 7};
      EXPECT_EQ(a.Sample(logits, params, pos), b.Sample(logits, params, pos));
    }
  }
}

// Goal: draws follow softmax(logits / temperature). Method: 20,000 positions, within 4 standard
// deviations of the expected counts.
TEST(SamplerTest, FrequenciesFollowTheDistribution) {
  const std::vector<float> logits = {0, std::log(2.0F), std::log(5.0F)};
  Sampler sampler;
  std::vector<int> counts(3);
  constexpr int kDraws = 20000;
  for (int64_t pos = 0; pos < kDraws; ++pos) {
    ++counts[sampler.Sample(logits, {.temperature = 1, .top_p = 1, .seed = 99}, pos)];
  }
  for (int i = 0; i < 3; ++i) {
    const double p = std::exp(logits[i]) / 8.0;
    EXPECT_NEAR(counts[i], kDraws * p, 4 * std::sqrt(kDraws * p * (1 - p)));
  }
}

TEST(SamplerTest, TopPLeavesOutTheTail) {
  const std::vector<float> logits = {std::log(0.1F), std::log(0.6F), std::log(0.3F)};
  Sampler sampler;
  for (int64_t pos = 0; pos < 500; ++pos) {
    EXPECT_NE(sampler.Sample(logits, {.temperature = 1, .top_p = 0.85F, .seed = 3}, pos), 0);
    EXPECT_EQ(sampler.Sample(logits, {.temperature = 1, .top_p = 0.5F, .seed = 3}, pos), 1);
  }
}

// Vectors of the Random123 distribution's kat_vectors for philox4x32 with 10 rounds.
TEST(SamplerTest, GeneratorMatchesPublishedVectors) {
  const uint64_t bits = uint64_t{0xe169c58d} << 32 | 0x6627e8d5;
  EXPECT_EQ(CounterUniform(0, 0), static_cast<double>(bits >> 11) * 0x1p-53);
}

}  // namespace
}  // namespace shoal
