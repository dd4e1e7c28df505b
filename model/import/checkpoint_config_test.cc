#include "model/import/checkpoint_config.h"

#include <cmath>
#include <numbers>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A small model of `type`; `members` are JSON and end in a comma.
absl::StatusOr<CheckpointConfig> ReadText(std::string_view type, std::string_view members) {
  const std::string text = absl::StrCat(
      R"({"model_type": ")", std::string(type), R"(", )", std::string(members),
      R"("num_hidden_layers": 3, "hidden_size": 32, "num_attention_heads": 4, "vocab_size": 64,
         "max_position_embeddings": 128})");
  const auto values = JsonValues::Parse("config.json", text, kMaxConfigValues);
  if (!values.ok()) return values.status();
  return ReadCheckpointConfig(*values);
}

ModelConfig Read(std::string_view type, std::string_view members) {
  const auto read = ReadText(type, members);
  EXPECT_TRUE(read.ok()) << read.status();
  return read.ok() ? read->config : ModelConfig{};
}

constexpr char kDense[] = R"("intermediate_size": 48, )";

TEST(CheckpointConfigTest, AbsentKeysStandForTheLibrarysDefaults) {
  const ModelConfig llama = Read("llama", kDense);
  EXPECT_EQ(llama.n_kv_heads, 4);
  EXPECT_EQ(llama.head_dim, 8);
  EXPECT_EQ(llama.rms_norm_eps, 1e-6F);
  EXPECT_EQ(llama.rope_theta, 10000);
  EXPECT_EQ(llama.rope_pairing, RopePairing::kHalf);  // Its GGUF's rows are reordered.
  EXPECT_EQ(llama.dense_ffn_dim, 48);
  const ModelConfig qwen3 = Read("qwen3", absl::StrCat(kDense, R"("num_key_value_heads": 2, )"));
  EXPECT_EQ(qwen3.head_dim, 128);
  const ModelConfig mixtral =
      Read("mixtral", R"("intermediate_size": 16, "num_local_experts": 8, "num_experts_per_tok": 2,
                         "num_key_value_heads": 2, )");
  EXPECT_EQ(mixtral.rope_theta, 1e6);
  EXPECT_EQ(mixtral.rms_norm_eps, 1e-5F);
  EXPECT_EQ(mixtral.ffn_dim, 16);
  EXPECT_TRUE(mixtral.norm_topk_prob);
  EXPECT_FALSE(mixtral.tied_embeddings);
}

TEST(CheckpointConfigTest, AWindowThatIsSwitchedOnIsRefused) {
  const std::string heads = absl::StrCat(kDense, R"("num_key_value_heads": 2, )");
  EXPECT_TRUE(ReadText("mistral", absl::StrCat(heads, R"("sliding_window": null, )")).ok());
  EXPECT_THAT(
      std::string(
          ReadText("mistral", absl::StrCat(heads, R"("sliding_window": 16, )")).status().message()),
      HasSubstr("key 'sliding_window' is 16; only null is computed here"));
  EXPECT_TRUE(ReadText("qwen2", absl::StrCat(heads, R"("sliding_window": 16, )")).ok());
}

TEST(CheckpointConfigTest, LayersOfQwenMayBeDense) {
  constexpr char kMembers[] =
      R"("num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
         "intermediate_size": 48, "num_key_value_heads": 2, )";
  const auto dense = [&](std::string_view more) {
    const ModelConfig config = Read("qwen3_moe", absl::StrCat(kMembers, std::string(more)));
    return std::vector<bool>{config.IsDense(0), config.IsDense(1), config.IsDense(2)};
  };
  EXPECT_THAT(dense(""), ElementsAre(false, false, false));
  EXPECT_THAT(dense(R"("mlp_only_layers": [1, 7], )"), ElementsAre(false, true, false));
  EXPECT_THAT(dense(R"("decoder_sparse_step": 2, )"), ElementsAre(true, false, true));
  EXPECT_THAT(dense(R"("decoder_sparse_step": 2, "mlp_only_layers": [1], )"),
              ElementsAre(true, true, true));
  EXPECT_EQ(Read("qwen3_moe", kMembers).dense_ffn_dim, 0);
  EXPECT_EQ(Read("qwen3_moe", absl::StrCat(kMembers, R"("mlp_only_layers": [0], )")).dense_ffn_dim,
            48);
}

TEST(CheckpointConfigTest, NumbersOfEveryLayerMayBeAList) {
  const ModelConfig config =
      Read("hunyuan_v1_moe", R"("num_experts": 8, "moe_topk": [2, 2, 2], "intermediate_size": 24,
                           "moe_intermediate_size": [16, 16, 16], "num_shared_expert": [1, 1, 1], )");
  EXPECT_EQ(config.top_k, 2);
  EXPECT_EQ(config.ffn_dim, 16);
  EXPECT_EQ(config.shared_ffn_dim, 24);
  EXPECT_FALSE(config.shared_gate);
}

TEST(CheckpointConfigTest, LinearScalingDividesEveryFrequency) {
  for (const char* rope : {R"("rope_scaling": {"type": "linear", "factor": 4.0}, )",
                           R"("rope_parameters": {"rope_type": "linear", "factor": 4}, )"}) {
    EXPECT_THAT(Read("llama", absl::StrCat(kDense, rope)).rope_divisors,
                ElementsAre(4.0F, 4.0F, 4.0F, 4.0F));
  }
}

// Frequencies of 8 elements and base 10000 are 1, 0.1, 0.01, 0.001: 64 positions are 10.2, 1.02,
// 0.1 and 0.01 waves.
TEST(CheckpointConfigTest, Llama3StretchesLongWaves) {
  const ModelConfig config =
      Read("llama", absl::StrCat(kDense, R"("rope_scaling": {"rope_type": "llama3", "factor": 8.0,
          "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}, )"));
  ASSERT_EQ(config.rope_divisors.size(), 4U);
  const double share = (64 * 0.1 / (2 * std::numbers::pi) - 1) / 3;
  EXPECT_EQ(config.rope_divisors[0], 1.0F);
  EXPECT_NEAR(config.rope_divisors[1], 1 / ((1 - share) / 8 + share), 1e-6);
  EXPECT_EQ(config.rope_divisors[2], 8.0F);
  EXPECT_EQ(config.rope_divisors[3], 8.0F);
}

TEST(CheckpointConfigTest, DynamicScalingDoesNothingWithinTheContext) {
  constexpr char kDynamic[] = R"("rope_scaling": {"type": "dynamic", "factor": 2.0}, )";
  const ModelConfig config = Read("internlm2", absl::StrCat(kDense, kDynamic));
  EXPECT_TRUE(config.rope_divisors.empty());
  EXPECT_EQ(config.rope_theta, 10000);
  const ModelConfig hunyuan =
      Read("hunyuan_v1_moe", R"("num_experts": 8, "moe_topk": 2, "intermediate_size": 24,
                                "rope_scaling": {"type": "dynamic", "alpha": 1000.0}, )");
  EXPECT_NEAR(hunyuan.rope_theta, 10000 * std::pow(1000.0, 8.0 / 6), 1);
}

TEST(CheckpointConfigTest, NullIsAbsent) {
  const ModelConfig config = Read(
      "llama", absl::StrCat(kDense, R"("rope_scaling": null, "head_dim": null, "moon": null, )"));
  EXPECT_EQ(config.head_dim, 8);
  EXPECT_TRUE(config.rope_divisors.empty());
}

}  // namespace
}  // namespace shoal
