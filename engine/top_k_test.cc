#include "engine/top_k.h"

#include <cmath>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using testing::ElementsAre;

struct Chosen {
  std::vector<int32_t> ids;
  std::vector<float> weights;
};

Chosen Select(std::vector<float> logits, int top_k, bool renormalize) {
  Chosen chosen{std::vector<int32_t>(top_k), std::vector<float>(top_k)};
  const int64_t n_experts = static_cast<int64_t>(logits.size());
  SelectTopK(SelectedKernels(), {logits.data(), 1, n_experts}, top_k, renormalize, top_k,
             chosen.ids.data(), chosen.weights.data());
  return chosen;
}

TEST(TopKTest, IdsAscendWhateverTheOrderOfScores) {
  EXPECT_THAT(Select({0.1F, 5, 2, 4, 3}, 3, true).ids, ElementsAre(1, 3, 4));
}

TEST(TopKTest, TiesGoToTheLowerId) {
  EXPECT_THAT(Select({1, 1, 1, 1}, 2, true).ids, ElementsAre(0, 1));
  EXPECT_THAT(Select({0, 2, 2, 2}, 2, true).ids, ElementsAre(1, 2));
}

TEST(TopKTest, RenormalizedWeightsSumToOneAndOthersAreTheSoftmax) {
  const Chosen renormalized = Select({1, 2, 3, 4}, 2, true);
  EXPECT_FLOAT_EQ(renormalized.weights[0] + renormalized.weights[1], 1.0F);
  const Chosen plain = Select({1, 2, 3, 4}, 2, false);
  EXPECT_NEAR(plain.weights[0], 0.2368828F, 1e-6F);
  EXPECT_NEAR(plain.weights[1], 0.6439142F, 1e-6F);
}

Chosen Mix(const std::vector<float>& logits) {
  Chosen chosen{std::vector<int32_t>(2), std::vector<float>(2)};
  SelectBySparseMixer(SelectedKernels(), {logits.data(), 1, static_cast<int64_t>(logits.size())},
                      0.01F, 2, chosen.ids.data(), chosen.weights.data());
  return chosen;
}

TEST(SparseMixerTest, WithoutNearTiesBothWeightsAreOne) {
  const Chosen chosen = Mix({1, 5, -7, 4});
  EXPECT_THAT(chosen.ids, ElementsAre(1, 3));
  EXPECT_THAT(chosen.weights, ElementsAre(1, 1));
}

TEST(SparseMixerTest, ScoresWithinTwiceTheJitterShareTheirWeight) {
  // (5 - 4.95) / 5 = 0.01 ties; without expert 3 nothing ties with expert 0.
  const Chosen first = Mix({4.95F, 1, 2, 5});
  EXPECT_THAT(first.ids, ElementsAre(0, 3));
  EXPECT_EQ(first.weights[0], 1);
  EXPECT_NEAR(first.weights[1], 1 / (1 + std::exp(-0.05)), 1e-6);
  // 4 and 3.95 tie for the second place.
  const Chosen second = Mix({9, 3.95F, 4, 1});
  EXPECT_THAT(second.ids, ElementsAre(0, 2));
  EXPECT_EQ(second.weights[0], 1);
  EXPECT_NEAR(second.weights[1], 1 / (1 + std::exp(-0.05)), 1e-6);
}

TEST(SparseMixerTest, TheDistanceOfScoresBelowZeroCountsByTheirSize) {
  // (-1 - -1.015) / max(1.015, -1) is below 0.02, (-1 - -1.03) / 1.03 is above.
  EXPECT_LT(Mix({-1, -1.015F, -9}).weights[0], 0.51F);
  EXPECT_EQ(Mix({-1, -1.03F, -9}).weights[0], 1);
  EXPECT_THAT(Mix({0, 0, 0}).ids, ElementsAre(0, 1)) << "ties go to the lower id";
}

}  // namespace
}  // namespace shoal
