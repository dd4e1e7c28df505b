#include "engine/quality/eval_windows.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::vector<int64_t>> Numbers(int64_t n_ids, const EvalCut& cut) {
  std::vector<std::vector<int64_t>> numbers;
  const auto windows = PlanWindows(n_ids, cut);
  EXPECT_TRUE(windows.ok()) << windows.status();
  for (const EvalWindow& window : *windows) {
    numbers.push_back({window.begin, window.n_tokens, window.first_scored});
  }
  return numbers;
}

TEST(EvalWindowsTest, SideBySideTheSecondHalfIsScored) {
  EXPECT_THAT(Numbers(29, {.ctx_size = 10}),
              ElementsAre(ElementsAre(0, 10, 6), ElementsAre(10, 10, 6)));
  EXPECT_EQ(CountScored(*PlanWindows(29, {.ctx_size = 10})), 8);
}

TEST(EvalWindowsTest, SlidingWindowsScoreEveryTokenButTheFirstOnce) {
  EXPECT_THAT(Numbers(15, {.ctx_size = 8, .stride = 4}),
              ElementsAre(ElementsAre(0, 8, 1), ElementsAre(4, 8, 4), ElementsAre(8, 7, 4)));
  EXPECT_EQ(CountScored(*PlanWindows(15, {.ctx_size = 8, .stride = 4})), 14);
  EXPECT_THAT(Numbers(2, {.ctx_size = 8, .stride = 4}), ElementsAre(ElementsAre(0, 2, 1)));
}

TEST(EvalWindowsTest, StridesOfAWholeWindowCannotScoreTheirFirstTokens) {
  EXPECT_THAT(Numbers(17, {.ctx_size = 8, .stride = 8}),
              ElementsAre(ElementsAre(0, 8, 1), ElementsAre(8, 8, 1)));
}

TEST(EvalWindowsTest, RefusesWhatGivesNothingToScore) {
  const auto message = [](int64_t n_ids, const EvalCut& cut) {
    return std::string(PlanWindows(n_ids, cut).status().message());
  };
  EXPECT_THAT(message(511, {}), AllOf(HasSubstr("511"), HasSubstr("512"), HasSubstr("--stride")));
  EXPECT_THAT(message(1, {.ctx_size = 512, .stride = 1}), HasSubstr("1 tokens"));
  EXPECT_THAT(message(100, {.ctx_size = 3}), HasSubstr("--ctx-size: 3"));
  EXPECT_THAT(message(100, {.ctx_size = 8, .stride = 9}), HasSubstr("--stride: 9"));
  EXPECT_THAT(message(100, {.ctx_size = 8, .stride = -1}), HasSubstr("--stride: -1"));
}

}  // namespace
}  // namespace shoal
