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

std::vector<int> WindowsOf(const ModelConfig& config) {
  std::vector<int> windows;
  for (int layer = 0; layer < config.n_layers; ++layer)
    windows.push_back(config.Layer(layer).window);
  return windows;
}

TEST(CheckpointConfigTest, WindowsAreThoseOfTheTypeAndTheFile) {
  const std::string heads = absl::StrCat(kDense, R"("num_key_value_heads": 2, )");
  const auto windows = [&](std::string_view type, std::string_view more) {
    return WindowsOf(Read(type, absl::StrCat(heads, std::string(more))));
  };
  EXPECT_THAT(windows("mistral", R"("sliding_window": null, )"), ElementsAre(0, 0, 0));
  EXPECT_THAT(windows("mistral", R"("sliding_window": 16, )"), ElementsAre(16, 16, 16));
  EXPECT_THAT(windows("mistral", ""), ElementsAre(0, 0, 0));  // 4096, more than the context.
  EXPECT_THAT(windows("qwen2", R"("sliding_window": 16, )"), ElementsAre(0, 0, 0));
  constexpr char kOn[] = R"("sliding_window": 16, "use_sliding_window": true, )";
  EXPECT_THAT(windows("qwen2", kOn), ElementsAre(0, 0, 0));  // From layer 28 on.
  EXPECT_THAT(windows("qwen2", absl::StrCat(kOn, R"("max_window_layers": 1, )")),
              ElementsAre(0, 16, 16));
  EXPECT_THAT(windows("qwen3", absl::StrCat(kOn, R"("layer_types":
      ["sliding_attention", "full_attention", "sliding_attention"], )")),
              ElementsAre(16, 0, 16));
}

TEST(CheckpointConfigTest, Gemmas3rdHasTwoBases) {
  constexpr char kMembers[] =
      R"("intermediate_size": 48, "num_key_value_heads": 2, "sliding_window": 16,
         "hidden_activation": "gelu_pytorch_tanh", )";
  const ModelConfig older =
      Read("gemma3_text", absl::StrCat(kMembers, R"("sliding_window_pattern": 2, "rope_theta": 1e5,
          "rope_local_base_freq": 5e3, "rope_scaling": {"rope_type": "linear", "factor": 8.0}, )"));
  const ModelConfig newer = Read(
      "gemma3_text", absl::StrCat(kMembers, R"("_sliding_window_pattern": 2, "rope_parameters": {
          "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e5},
          "sliding_attention": {"rope_type": "default", "rope_theta": 5e3}}, )"));
  for (const ModelConfig& config : {older, newer}) {
    EXPECT_THAT(WindowsOf(config), ElementsAre(16, 0, 16));
    EXPECT_EQ(config.Layer(0).rope, LayerRope::kLocal);
    EXPECT_EQ(config.Layer(1).rope, LayerRope::kModel);
    EXPECT_EQ(config.rope_theta, 1e5);
    EXPECT_EQ(config.local_rope_theta, 5e3);
    EXPECT_THAT(config.rope_divisors, Each(8.0F));
    EXPECT_EQ(config.attention_scale, 0.0625F);  // Of 256, the default.
    EXPECT_EQ(config.head_dim, 256);
    EXPECT_TRUE(config.tied_embeddings);
    EXPECT_FLOAT_EQ(config.embedding_scale, std::sqrt(32.0F));
  }
}

// As the larger ones say it: what is the library's default is left out.
TEST(CheckpointConfigTest, Gemma3OfManyPartsLeavesDefaultsOut) {
  constexpr char kText[] = R"({"model_type": "gemma3", "image_token_index": 262144,
      "eos_token_id": [1, 106], "vision_config": {"hidden_size": 1152}, "text_config": {
      "model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240,
      "num_hidden_layers": 34, "sliding_window": 1024,
      "rope_scaling": {"factor": 8.0, "rope_type": "linear"}}})";
  const auto values = JsonValues::Parse("config.json", kText, kMaxConfigValues);
  ASSERT_TRUE(values.ok()) << values.status();
  const auto read = ReadCheckpointConfig(*values);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->is_part);
  EXPECT_EQ(read->config.n_heads, 8);
  EXPECT_EQ(read->config.n_kv_heads, 4);
  EXPECT_EQ(read->config.head_dim, 256);
  EXPECT_EQ(read->config.vocab_size, 262208);
  EXPECT_EQ(read->config.context_length, 131072);
  EXPECT_TRUE(read->config.tied_embeddings);
  EXPECT_THAT(read->config.rope_divisors, Each(8.0F));
  EXPECT_EQ(read->config.Layer(4).window, 1024);
  EXPECT_EQ(read->config.Layer(5).window, 0);
}

TEST(CheckpointConfigTest, SmolLm3SaysWhichLayersHaveRope) {
  const auto kinds = [](std::string_view more) {
    const ModelConfig config =
        Read("smollm3", absl::StrCat(kDense, R"("num_key_value_heads": 2, )", std::string(more)));
    std::vector<bool> have_rope;
    for (int i = 0; i < 3; ++i) have_rope.push_back(config.Layer(i).rope == LayerRope::kModel);
    return have_rope;
  };
  EXPECT_THAT(kinds(""), ElementsAre(true, true, true));
  EXPECT_THAT(kinds(R"("no_rope_layer_interval": 2, )"), ElementsAre(true, false, true));
  EXPECT_THAT(kinds(R"("no_rope_layers": [0, 1, 0], )"), ElementsAre(false, true, false));
  EXPECT_THAT(std::string(ReadText("smollm3", absl::StrCat(kDense, R"("num_key_value_heads": 2,
      "use_sliding_window": true, )"))
                              .status()
                              .message()),
              HasSubstr("'use_sliding_window' is true; only false is computed here"));
}

// Chunks of layers, negative where they have no rope.
std::vector<int> ChunksOf(const ModelConfig& config) {
  std::vector<int> chunks;
  for (int layer = 0; layer < config.n_layers; ++layer) {
    const LayerConfig of = config.Layer(layer);
    chunks.push_back(of.rope == LayerRope::kNone ? -1 - of.chunk : of.chunk);
  }
  return chunks;
}

TEST(CheckpointConfigTest, Llamas4thSaysWhichLayersHaveRopeChunksAndExperts) {
  static constexpr char kHeads[] = R"("num_key_value_heads": 2, )";
  const auto read = [](std::string_view more) {
    return Read("llama4_text",
                absl::StrCat(kHeads, R"("attention_chunk_size": 16, )", std::string(more)));
  };
  const ModelConfig usual = read("");
  EXPECT_THAT(ChunksOf(usual), ElementsAre(16, 16, 16));  // Each fourth layer has no rope.
  EXPECT_FALSE(usual.IsDense(0));
  EXPECT_EQ(usual.dense_ffn_dim, 0);
  EXPECT_EQ(usual.shared_ffn_dim, 8192);
  EXPECT_EQ(usual.qk_norm, QkNorm::kUnitAfterRope);
  EXPECT_TRUE(usual.weighted_inputs);
  EXPECT_EQ(usual.temperature_floor, 8192);
  EXPECT_THAT(ChunksOf(read(R"("no_rope_layer_interval": 2, )")), ElementsAre(16, -1, 16));
  EXPECT_THAT(ChunksOf(read(R"("no_rope_layers": [], )")), ElementsAre(16, 16, 16));
  EXPECT_THAT(ChunksOf(read(R"("no_rope_layers": [0, 1, 1], )")), ElementsAre(-1, 16, 16));
  EXPECT_THAT(ChunksOf(read(R"("layer_types": ["chunked_attention", "full_attention",
      "full_attention"], "no_rope_layers": [0, 1, 1], )")),
              ElementsAre(-17, 0, 0));
  EXPECT_TRUE(read(R"("interleave_moe_layer_step": 2, )").IsDense(2));
  const ModelConfig listed = read(R"("moe_layers": [2], "intermediate_size_mlp": 48, )");
  EXPECT_TRUE(listed.IsDense(0) && listed.IsDense(1) && !listed.IsDense(2));
  EXPECT_EQ(listed.dense_ffn_dim, 48);
  EXPECT_EQ(read(R"("use_qk_norm": false, )").qk_norm, QkNorm::kNone);
  EXPECT_EQ(read(R"("attn_temperature_tuning": 4, "floor_scale": 8, )").temperature_floor, 8);
  EXPECT_EQ(read(R"("attn_temperature_tuning": false, )").temperature_floor, 0);
  for (const auto& [more, says] :
       {std::pair{R"("no_rope_layers": [1], )", "'no_rope_layers' is a list of 1 entries, not"},
        {R"("no_rope_layer_interval": 0, )", "'no_rope_layer_interval' is 0, below 1"},
        {R"("attention_chunk_size": null, )", "is null, but layers have chunks"}}) {
    EXPECT_THAT(std::string(ReadText("llama4_text", absl::StrCat(kHeads, more)).status().message()),
                HasSubstr(says));
  }
}

TEST(CheckpointConfigTest, ARampOfNoLengthIsAStep) {
  const ModelConfig config = Read("llama", absl::StrCat(kDense, R"("rope_scaling": {
      "rope_type": "llama3", "factor": 16.0, "low_freq_factor": 1.0, "high_freq_factor": 1.0,
      "original_max_position_embeddings": 64}, )"));
  EXPECT_THAT(config.rope_divisors, ElementsAre(1, 1, 16, 16));  // 64, 640 positions a wave.
}

TEST(CheckpointConfigTest, LongropeHasTwoListsAndOneMagnitude) {
  constexpr char kRope[] = R"("rope_scaling": {"type": "su", "short_factor": [1, 1.5],
      "long_factor": [2, 3.5]}, "partial_rotary_factor": 0.5, )";
  const ModelConfig config =
      Read("phi3", absl::StrCat(kDense, kRope, R"("original_max_position_embeddings": 32, )"));
  EXPECT_EQ(config.rope_dim, 4);
  EXPECT_THAT(config.rope_divisors, ElementsAre(1.0F, 1.5F));
  EXPECT_THAT(config.long_rope_divisors, ElementsAre(2.0F, 3.5F));
  EXPECT_EQ(config.rope_original_context, 32);
  EXPECT_FLOAT_EQ(config.rope_magnitude, std::sqrt(1 + std::log(4.0F) / std::log(32.0F)));
  EXPECT_THAT(std::string(ReadText("phi3", absl::StrCat(kDense, R"("rope_scaling": {"type":
      "longrope", "short_factor": [1, 2, 3, 4], "long_factor": [1]}, )"))
                              .status()
                              .message()),
              HasSubstr("key 'rope_scaling.long_factor' is a list of 1 numbers, not 4"));
  constexpr char kMoe[] = R"("num_local_experts": 4, "num_experts_per_tok": 2,
      "intermediate_size": 16, "num_key_value_heads": 2, "rope_scaling": {"type": "longrope",
      "short_factor": [1, 1, 1, 1], "long_factor": [1, 1, 1, 1], "short_mscale": 1.25,
      "long_mscale": )";
  EXPECT_EQ(Read("phimoe", absl::StrCat(kMoe, "1.25}, ")).rope_magnitude, 1.25F);
  EXPECT_THAT(std::string(ReadText("phimoe", absl::StrCat(kMoe, "1.5}, ")).status().message()),
              HasSubstr("key 'rope_scaling.long_mscale' is 1.5, but short_mscale is 1.25"));
}

TEST(CheckpointConfigTest, YarnMayBeRoundedOrNot) {
  const auto divisors = [](std::string_view more) {
    return Read("llama", absl::StrCat(kDense, R"("head_dim": 16, "rope_scaling":
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32)",
                                      std::string(more), "}, "));
  };
  EXPECT_EQ(divisors("").rope_divisors, divisors(R"(, "truncate": true)").rope_divisors);
  EXPECT_NE(divisors("").rope_divisors, divisors(R"(, "truncate": false)").rope_divisors);
  EXPECT_FLOAT_EQ(divisors("").rope_magnitude, 0.1F * std::log(4.0F) + 1);
  EXPECT_EQ(divisors(R"(, "attention_factor": 1.5)").rope_magnitude, 1.5F);
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

constexpr char kDeepSeek[] =
    R"("kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 6,
       "n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 12,
       "intermediate_size": 48, "n_shared_experts": 2, "first_k_dense_replace": 1, )";

TEST(CheckpointConfigTest, LatentAttentionCachesOneRow) {
  const ModelConfig v3 = Read(
      "deepseek_v3", absl::StrCat(kDeepSeek, R"("q_lora_rank": 10, "n_group": 4, "topk_group": 2,
          "num_key_value_heads": 4, "rope_scaling": {"type": "yarn", "factor": 8.0, "mscale": 1.0,
          "mscale_all_dim": 1.0, "original_max_position_embeddings": 16}, )"));
  EXPECT_EQ(v3.head_dim, 20);
  EXPECT_EQ(v3.n_kv_heads, 1);
  EXPECT_EQ(v3.rope_dim, 4);
  EXPECT_EQ(v3.rope_pairing, RopePairing::kAdjacent);
  EXPECT_EQ(v3.shared_ffn_dim, 24);
  EXPECT_TRUE(v3.IsDense(0) && !v3.IsDense(1));
  EXPECT_TRUE(v3.choice_bias && v3.norm_topk_prob);
  EXPECT_EQ(v3.gating, Gating::kSigmoid);
  EXPECT_EQ(v3.group_rank, GroupRank::kBestTwo);
  EXPECT_EQ(v3.routed_scale, 2.5F);
  const double m = 0.1 * std::log(8.0) + 1;
  EXPECT_FLOAT_EQ(v3.attention_scale, static_cast<float>(m * m / std::sqrt(12.0)));
  EXPECT_EQ(v3.rope_magnitude, 1.0F);  // Both logarithms alike.
  const ModelConfig v2 =
      Read("deepseek_v2", absl::StrCat(kDeepSeek, R"("q_lora_rank": null, "n_group": 4,
          "topk_group": 2, "topk_method": "greedy", )"));
  EXPECT_EQ(v2.q_lora_rank, 0);
  EXPECT_EQ(v2.gating, Gating::kSoftmax);
  EXPECT_EQ(v2.n_expert_groups, 1);
  EXPECT_FALSE(v2.choice_bias || v2.norm_topk_prob);
  const ModelConfig limited =
      Read("deepseek_v2", absl::StrCat(kDeepSeek, R"("q_lora_rank": null, "n_group": 4,
          "topk_group": 2, "topk_method": "group_limited_greedy", )"));
  EXPECT_EQ(limited.n_expert_groups, 4);
  EXPECT_EQ(limited.n_groups_used, 2);
  EXPECT_EQ(limited.group_rank, GroupRank::kBest);
  EXPECT_THAT(std::string(ReadText("deepseek_v2", absl::StrCat(kDeepSeek, R"("q_lora_rank": null,
                  "topk_method": "moon", )"))
                              .status()
                              .message()),
              HasSubstr("key 'topk_method' is 'moon'; only 'greedy' and 'group_limited_greedy'"));
}

TEST(CheckpointConfigTest, DenseLayersAreCountedOrListed) {
  const auto dense = [](std::string_view type, std::string_view more) {
    const ModelConfig config = Read(type, more);
    return std::vector<bool>{config.IsDense(0), config.IsDense(1), config.IsDense(2)};
  };
  const auto flash = [&](std::string_view more) {
    return dense("glm4_moe_lite",
                 absl::StrCat(kDeepSeek, R"("q_lora_rank": 10, )", std::string(more)));
  };
  EXPECT_THAT(flash(""), ElementsAre(true, false, false));
  EXPECT_THAT(flash(R"("mlp_layer_types": ["sparse", "dense", "sparse"], )"),
              ElementsAre(false, true, false));
  constexpr char kErnie[] =
      R"("moe_num_experts": 8, "moe_k": 2, "moe_intermediate_size": 12, "intermediate_size": 48,
         "num_key_value_heads": 2, "moe_layer_end_index": )";
  EXPECT_THAT(dense("ernie4_5_moe", absl::StrCat(kErnie, "-1, ")), ElementsAre(true, false, false));
  EXPECT_THAT(dense("ernie4_5_moe", absl::StrCat(kErnie, R"(1, "moe_layer_start_index": 0, )")),
              ElementsAre(false, false, true));
  EXPECT_THAT(dense("ernie4_5_moe", absl::StrCat(kErnie, R"(-1, "moe_layer_interval": 2, )")),
              ElementsAre(true, false, true));
}

TEST(CheckpointConfigTest, LayersMayMixPositionsOtherwise) {
  constexpr char kMoe[] =
      R"("num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 12,
         "intermediate_size": 48, "num_key_value_heads": 2, )";
  const auto mixers = [](std::string_view type, std::string_view more) {
    const ModelConfig config = Read(type, more);
    return std::vector<Mixer>{config.MixerOf(0), config.MixerOf(1), config.MixerOf(2)};
  };
  using enum Mixer;
  EXPECT_THAT(mixers("lfm2_moe", absl::StrCat(kMoe, R"("layer_types": ["conv", "full_attention",
                                                       "conv"], )")),
              ElementsAre(kShortConvolution, kAttention, kShortConvolution));
  constexpr char kNext[] =
      R"("shared_expert_intermediate_size": 12, "linear_key_head_dim": 8, "head_dim": 16,
         "linear_value_head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 4, )";
  EXPECT_THAT(mixers("qwen3_next", absl::StrCat(kMoe, kNext)),
              ElementsAre(kDeltaRule, kDeltaRule, kDeltaRule));
  EXPECT_THAT(mixers("qwen3_next", absl::StrCat(kMoe, kNext, R"("full_attention_interval": 2, )")),
              ElementsAre(kDeltaRule, kAttention, kDeltaRule));
  EXPECT_EQ(Read("qwen3_next", absl::StrCat(kMoe, kNext)).rope_dim, 4);
  EXPECT_THAT(std::string(ReadText("lfm2_moe", absl::StrCat(kMoe, R"("layer_types":
                  ["conv", "linear_attention", "conv"], )"))
                              .status()
                              .message()),
              HasSubstr("key 'layer_types.1' is 'linear_attention', which is not computed"));
}

}  // namespace
}  // namespace shoal
