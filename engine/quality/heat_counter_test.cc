#include "engine/quality/heat_counter.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/local_model.h"

namespace shoal {
namespace {

std::vector<std::vector<int32_t>> Prompts() {
  std::vector<std::vector<int32_t>> prompts(2);
  for (int32_t i = 0; i < 50; ++i) prompts[0].push_back(i * 37 % 300);
  prompts[1] = {5, 6, 7};
  return prompts;
}

absl::StatusOr<ExpertHeat> Count(LocalModel& model,
                                 const std::vector<std::vector<int32_t>>& prompts,
                                 int64_t ctx_size = 16) {
  return CountHeat({.engine = &model.engine(),
                    .kv_cache = &model.kv_cache(),
                    .ctx_size = ctx_size,
                    .prompts = prompts});
}

TEST(HeatCounterTest, EveryRowTakesTopKExpertsOfEveryLayer) {
  LocalModel model("tests/data/models/qwen3_moe/model.gguf", {});
  const auto heat = Count(model, Prompts());
  ASSERT_TRUE(heat.ok()) << heat.status();
  EXPECT_EQ(heat->n_tokens, 53);
  EXPECT_TRUE(CheckHeat(*heat, model.config()).ok());
  for (const auto& layer : heat->layers) {
    uint64_t rows = 0;
    double weight = 0;
    for (const ExpertHeat::Expert& expert : layer) {
      EXPECT_LE(expert.rows, 53U);
      rows += expert.rows;
      weight += expert.weight;
    }
    EXPECT_EQ(rows, 53U * static_cast<uint64_t>(model.config().top_k));
    EXPECT_NEAR(weight, 53.0, 1e-3);  // Renormalized weights.
  }
}

// A prompt longer than the cache begins again; another one begins with an empty cache.
TEST(HeatCounterTest, PromptsDoNotSeeOneAnother) {
  LocalModel model("tests/data/models/qwen3_moe/model.gguf", {});
  const std::vector<int32_t> ids = {1, 2, 3, 4, 5, 6, 7, 8};
  const auto cut = Count(model, {ids}, 4);
  const auto apart = Count(model, {{1, 2, 3, 4}, {5, 6, 7, 8}}, 4);
  ASSERT_TRUE(cut.ok() && apart.ok());
  EXPECT_EQ(EncodeHeat(*cut), EncodeHeat(*apart));
}

TEST(HeatCounterTest, SharedExpertsAreNotCounted) {
  LocalModel model("tests/data/models/qwen2_moe/model.gguf", {});
  const auto heat = Count(model, Prompts());
  ASSERT_TRUE(heat.ok()) << heat.status();
  EXPECT_EQ(heat->layers[0].size(), static_cast<size_t>(model.config().n_experts));
}

TEST(HeatCounterTest, ADenseModelHasNoHeat) {
  LocalModel model("tests/data/models/llama/model.gguf", {});
  EXPECT_THAT(std::string(Count(model, Prompts()).status().message()),
              ::testing::HasSubstr("no routed experts"));
}

}  // namespace
}  // namespace shoal
