#include "engine/quality/row_score.h"

#include <cmath>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

// Logits of the probabilities 1/2, 1/4, 1/8, 1/8, beside any constant.
std::vector<float> Halves() {
  const float ln2 = std::log(2.0F);
  return {5.0F - ln2, 5.0F - 2 * ln2, 5.0F - 3 * ln2, 5.0F - 3 * ln2};
}

TEST(RowScoreTest, TheTargetsLogProbabilityIsThatOfSoftmax) {
  EXPECT_NEAR(ScoreRow(Halves(), 1, nullptr).log_prob, -2 * std::log(2.0), 1e-6);
}

TEST(RowScoreTest, ARowAgreesWithItselfAndLosesNothing) {
  for (const int n_top : {1, 2, 3, 4}) {
    const ReferenceRow same = SummarizeRow(Halves(), 0, n_top);
    EXPECT_EQ(same.top.size(), static_cast<size_t>(n_top));
    const RowScore score = ScoreRow(Halves(), 0, &same);
    EXPECT_NEAR(score.kl, 0.0, 1e-6) << n_top;
    EXPECT_TRUE(score.agrees);
  }
}

TEST(RowScoreTest, TheSummaryKeepsTheLikeliestTiesByLowerId) {
  const ReferenceRow row = SummarizeRow(Halves(), 3, 3);
  EXPECT_EQ(row.top[0].id, 0);
  EXPECT_EQ(row.top[1].id, 1);
  EXPECT_EQ(row.top[2].id, 2);
  EXPECT_NEAR(row.rest, 0.125, 1e-6);
  EXPECT_NEAR(row.target_log_prob, std::log(0.125), 1e-6);
  EXPECT_EQ(SummarizeRow(Halves(), 3, 4).rest, 0.0F);
}

// KL((1/2, 1/4, 1/8, 1/8) || uniform) = ln 4 - H = (2 - 1.75) ln 2; with the last two as one it is
// the same, for they are equal on both sides.
TEST(RowScoreTest, KlIsThatOfTheReferenceAgainstTheRow) {
  const std::vector<float> uniform(4, 0.0F);
  const double expected = 0.25 * std::log(2.0);
  for (const int n_top : {2, 3, 4}) {
    const ReferenceRow reference = SummarizeRow(Halves(), 0, n_top);
    EXPECT_NEAR(ScoreRow(uniform, 0, &reference).kl, expected, 1e-6) << n_top;
  }
  const std::vector<float> reversed = {0.0F, 1.0F, 2.0F, 3.0F};
  const ReferenceRow reference = SummarizeRow(Halves(), 0, 4);
  EXPECT_FALSE(ScoreRow(reversed, 0, &reference).agrees);
  const ReferenceRow two = SummarizeRow(Halves(), 0, 2);
  EXPECT_LE(ScoreRow(reversed, 0, &two).kl, ScoreRow(reversed, 0, &reference).kl);
}

}  // namespace
}  // namespace shoal
