#include "engine/top_k.h"

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

}  // namespace
}  // namespace shoal
