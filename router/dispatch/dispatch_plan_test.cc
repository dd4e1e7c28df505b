#include "router/dispatch/dispatch_plan.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/random_experts.h"

namespace shoal {
namespace {

ModelConfig Config(int n_experts, int top_k) {
  ModelConfig config = TinyExpertsConfig();
  config.n_experts = n_experts;
  config.top_k = top_k;
  return config;
}

// Plans every pair of `routing` with expert e on worker e % n_workers.
void PlanAll(DispatchPlan& plan, const Routing& routing, int n_workers, int max_results) {
  std::vector<int32_t> pairs(routing.topk_ids.size());
  std::iota(pairs.begin(), pairs.end(), 0);
  std::vector<int32_t> worker_of(64);
  for (int e = 0; e < 64; ++e) worker_of[e] = e % n_workers;
  plan.Begin(routing);
  EXPECT_EQ(plan.AddCalls(pairs, worker_of, max_results), 0);
}

void AnswerAll(DispatchPlan& plan) {
  for (size_t i = 0; i < plan.calls().size(); ++i) plan.Answer(static_cast<int>(i));
}

// Every (row, expert) pair is in exactly one call, at the worker that holds the expert.
TEST(DispatchPlanTest, EveryPairIsPlannedOnceAtItsWorker) {
  const ModelConfig config = Config(10, 3);
  for (const int n_workers : {1, 2, 3, 7, 12}) {
    for (const int max_results : {3, 4, 10, 1000}) {
      const RandomRows rows(config, 17, 301);
      DispatchPlan plan;
      PlanAll(plan, rows.routing, n_workers, max_results);
      std::multiset<std::pair<int, int>> seen;
      for (const PlannedCall& call : plan.calls()) {
        const ExpertAssignment& a = call.assignment;
        ASSERT_EQ(a.row_begin.size(), a.expert_ids.size() + 1);
        ASSERT_EQ(a.row_begin.back(), a.n_results());
        EXPECT_LE(a.n_results(), max_results);
        EXPECT_GE(a.n_results(), 1);
        for (size_t e = 0; e < a.expert_ids.size(); ++e) {
          if (e > 0) {
            EXPECT_LT(a.expert_ids[e - 1], a.expert_ids[e]);
          }
          EXPECT_EQ(a.expert_ids[e] % n_workers, call.worker);
          for (int i = a.row_begin[e]; i < a.row_begin[e + 1]; ++i) {
            if (i > a.row_begin[e]) {
              EXPECT_LT(a.rows[i - 1], a.rows[i]);
            }
            seen.emplace(call.tokens[a.rows[i]], a.expert_ids[e]);
          }
        }
      }
      std::multiset<std::pair<int, int>> expected;
      for (size_t i = 0; i < rows.topk_ids.size(); ++i) {
        expected.emplace(static_cast<int>(i) / config.top_k, rows.topk_ids[i]);
      }
      EXPECT_EQ(seen, expected);
    }
  }
}

TEST(DispatchPlanTest, OneCallPerWorkerUnlessCut) {
  const RandomRows rows(Config(8, 4), 40, 305);
  DispatchPlan plan;
  PlanAll(plan, rows.routing, 3, 1000);
  EXPECT_EQ(plan.calls().size(), 3U);
  PlanAll(plan, rows.routing, 3, 20);
  EXPECT_GT(plan.calls().size(), 6U);
}

// What experts that return their input give: the rows of each call, expert after expert.
std::vector<Mat<float>> Echo(const DispatchPlan& plan, const Mat<float>& x) {
  std::vector<Mat<float>> outputs;
  for (const PlannedCall& call : plan.calls()) {
    Mat<float>& y = outputs.emplace_back(call.assignment.n_results(), x.cols());
    for (int64_t i = 0; i < y.rows(); ++i) {
      const float* row = x.row(call.tokens[call.assignment.rows[i]]);
      std::copy(row, row + x.cols(), y.row(i));
    }
  }
  return outputs;
}

// Goal: Combine undoes Build for any routing.
// Method: random top-k over unevenly filled workers; experts return their input.
TEST(DispatchPlanTest, CombineRestoresTokenOrder) {
  const ModelConfig config = Config(8, 2);
  const RandomRows rows(config, 17, 302);
  for (const int max_results : {2, 5, 100}) {
    DispatchPlan plan;
    PlanAll(plan, rows.routing, 3, max_results);
    AnswerAll(plan);
    EXPECT_EQ(plan.n_unsettled(), 0);
    const std::vector<Mat<float>> echoes = Echo(plan, rows.x);
    std::vector<ExpertOutput> outputs;
    for (const Mat<float>& y : echoes) {
      outputs.push_back({.format = RowFormat::kF32,
                         .n_rows = static_cast<int>(y.rows()),
                         .hidden_dim = config.hidden_dim,
                         .f32 = {y.data(), static_cast<size_t>(y.rows() * y.cols())}});
    }
    std::vector<float> scratch(config.hidden_dim);
    for (int t = 0; t < rows.routing.n_tokens; ++t) {
      std::vector<float> out(config.hidden_dim);
      plan.CombineRow(SelectedKernels(), outputs, t, scratch.data(), out.data());
      // Two weights that add up to 1 within an ulp, times the row itself.
      for (int i = 0; i < config.hidden_dim; ++i) ASSERT_NEAR(out[i], rows.x.row(t)[i], 1e-6F);
    }
  }
}

// Goal: the sum runs over ascending expert ids, whichever worker is first.
// Method: values whose f32 sum depends on the order: 1e8, -1e8 and 1.
TEST(DispatchPlanTest, CombineAddsInAscendingExpertId) {
  const std::vector<int32_t> ids = {0, 1, 2};
  const std::vector<float> weights = {1, 1, 1};
  const Routing routing{.n_tokens = 1, .top_k = 3, .topk_ids = ids, .topk_weights = weights};
  DispatchPlan plan;
  PlanAll(plan, routing, 2, 10);  // Worker 0 has experts 0 and 2, worker 1 expert 1.
  ASSERT_EQ(plan.calls().size(), 2U);
  AnswerAll(plan);
  const std::vector<float> first = {1.0F, -1e8F};
  const std::vector<float> second = {1e8F};
  const std::vector<ExpertOutput> outputs = {
      {.format = RowFormat::kF32, .n_rows = 2, .hidden_dim = 1, .f32 = first},
      {.format = RowFormat::kF32, .n_rows = 1, .hidden_dim = 1, .f32 = second}};
  float scratch = 0;
  float out = 0;
  plan.CombineRow(SelectedKernels(), outputs, 0, &scratch, &out);
  EXPECT_EQ(out, 0.0F);  // (1 + 1e8) - 1e8; any other order gives 1.
}

// Goal: what a worker does not answer is planned anew at others, and the first result of a pair
// counts.
TEST(DispatchPlanTest, AWorkersPairsMoveToOthers) {
  const RandomRows rows(Config(8, 2), 17, 303);
  DispatchPlan plan;
  PlanAll(plan, rows.routing, 2, 1000);
  ASSERT_EQ(plan.calls().size(), 2U);
  plan.Answer(1);
  const std::vector<int32_t> lost = plan.calls()[0].pairs;
  EXPECT_EQ(plan.n_unsettled(), static_cast<int>(lost.size()));
  std::vector<int32_t> sorted = lost;
  std::sort(sorted.begin(), sorted.end());
  const std::vector<int32_t> worker_of(8, 1);
  EXPECT_EQ(plan.AddCalls(sorted, worker_of, 1000), 2);
  ASSERT_EQ(plan.calls().size(), 3U);
  EXPECT_THAT(plan.calls()[2].pairs, testing::UnorderedElementsAreArray(lost));
  plan.Answer(2);
  EXPECT_EQ(plan.n_unsettled(), 0);
  plan.Answer(0);  // Too late: settled pairs keep what they have.
  EXPECT_EQ(plan.n_unsettled(), 0);
}

}  // namespace
}  // namespace shoal
