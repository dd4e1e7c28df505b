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

Chosen Select(std::vector<float> logits, const ModelConfig& options,
              const std::vector<float>& bias = {}) {
  ModelConfig config = options;
  config.n_experts = static_cast<int>(logits.size());
  Chosen chosen{std::vector<int32_t>(config.top_k), std::vector<float>(config.top_k)};
  SelectTopK(SelectedKernels(), config, bias, {logits.data(), 1, config.n_experts}, config.top_k,
             chosen.ids.data(), chosen.weights.data());
  return chosen;
}

ModelConfig TopK(int top_k, bool renormalize) {
  ModelConfig config;
  config.top_k = top_k;
  config.norm_topk_prob = renormalize;
  return config;
}

TEST(TopKTest, IdsAscendWhateverTheOrderOfScores) {
  EXPECT_THAT(Select({0.1F, 5, 2, 4, 3}, TopK(3, true)).ids, ElementsAre(1, 3, 4));
}

TEST(TopKTest, TiesGoToTheLowerId) {
  EXPECT_THAT(Select({1, 1, 1, 1}, TopK(2, true)).ids, ElementsAre(0, 1));
  EXPECT_THAT(Select({0, 2, 2, 2}, TopK(2, true)).ids, ElementsAre(1, 2));
}

TEST(TopKTest, RenormalizedWeightsSumToOneAndOthersAreTheSoftmax) {
  const Chosen renormalized = Select({1, 2, 3, 4}, TopK(2, true));
  EXPECT_FLOAT_EQ(renormalized.weights[0] + renormalized.weights[1], 1.0F);
  const Chosen plain = Select({1, 2, 3, 4}, TopK(2, false));
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

// Goal: a bias changes who is chosen, and no weight.
TEST(TopKTest, ABiasChoosesAndDoesNotWeigh) {
  ModelConfig config = TopK(2, false);
  config.gating = Gating::kSigmoid;
  const Chosen chosen = Select({0, 1, 2, -4}, config, {0, 0, 0, 5});
  EXPECT_THAT(chosen.ids, ElementsAre(2, 3));
  EXPECT_FLOAT_EQ(chosen.weights[0], 0.8807970F);
  EXPECT_FLOAT_EQ(chosen.weights[1], 0.01798621F);
}

TEST(TopKTest, WeightsAreScaledAfterTheyAreDividedBySumAndFloor) {
  ModelConfig config = TopK(2, true);
  config.gating = Gating::kSigmoid;
  config.routed_scale = 2.5F;
  config.topk_norm_floor = 1;
  EXPECT_THAT(Select({0, 0, 0}, config).weights, ElementsAre(0.625F, 0.625F));
}

// Goal: of four groups of two, the rank says which two stay, and experts come from these alone.
TEST(TopKTest, ExpertsComeFromTheBestGroups) {
  ModelConfig config = TopK(3, true);
  config.gating = Gating::kSigmoid;
  config.n_expert_groups = 4;
  config.n_groups_used = 2;
  const std::vector<float> logits = {3, -9, 1, 1, -1, 2, 1, 0};
  config.group_rank = GroupRank::kBest;
  EXPECT_THAT(Select(logits, config).ids, ElementsAre(0, 4, 5));
  config.group_rank = GroupRank::kBestTwo;  // 0.95, 1.46, 1.15, 1.23
  EXPECT_THAT(Select(logits, config).ids, ElementsAre(2, 3, 6));
  // Left out, an expert counts as 0, which is more than a biased score below it.
  EXPECT_THAT(Select(logits, config, {0, 0, 0, 0, 0, -9, 0, -0.6F}).ids, ElementsAre(0, 2, 3));
}

}  // namespace
}  // namespace shoal
