#include "model/model_config.h"

#include <cmath>
#include <functional>
#include <string>

#include "base/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

ModelConfig GoodConfig() {
  ModelConfig config;
  config.n_layers = 3;
  config.hidden_dim = 64;
  config.n_heads = 4;
  config.n_kv_heads = 2;
  config.head_dim = 32;
  config.rope_dim = 32;
  config.n_experts = 8;
  config.top_k = 2;
  config.ffn_dim = 48;
  config.vocab_size = 320;
  config.context_length = 512;
  config.rope_theta = 10000.0;
  config.rms_norm_eps = 1e-6F;
  return config;
}

std::string ErrorWith(const std::function<void(ModelConfig&)>& change) {
  ModelConfig config = GoodConfig();
  change(config);
  return std::string(ValidateConfig(config).message());
}

TEST(ModelConfigTest, AcceptsASoundConfig) { EXPECT_TRUE(ValidateConfig(GoodConfig()).ok()); }

TEST(ModelConfigTest, NamesTheFieldTheValueAndTheBound) {
  EXPECT_EQ(ErrorWith([](auto& c) { c.n_layers = 513; }), "n_layers is 513, not in [1, 512]");
  EXPECT_EQ(ErrorWith([](auto& c) { c.n_experts = -1; }), "n_experts is -1, not in [0, 1024]");
  EXPECT_EQ(ErrorWith([](auto& c) { c.n_experts = 0; }), "top_k is 2, not in [0, 0]");
  EXPECT_EQ(ErrorWith([](auto& c) { c.n_experts = 0, c.top_k = 0; }),
            "dense_ffn_dim is 0, not in [1, 1048576]");
  EXPECT_EQ(ErrorWith([](auto& c) { c.dense_ffn_dim = 8; }), "dense_ffn_dim is 8, not in [0, 0]");
  EXPECT_EQ(ErrorWith([](auto& c) { c.n_experts = 1024, c.shared_ffn_dim = 8; }),
            "n_experts is 1024, not in [0, 1023]");
  EXPECT_EQ(ErrorWith([](auto& c) { c.rope_dim = 34; }), "rope_dim is 34, not in [2, 32]");
  EXPECT_EQ(ErrorWith([](auto& c) { c.layers.resize(2); }),
            "layers has 2 entries, not n_layers = 3");
  EXPECT_EQ(ErrorWith([](auto& c) { c.long_rope_divisors = {1}; }),
            "long_rope_divisors has 1 entries, not rope_dim / 2 = 16");
  EXPECT_EQ(ErrorWith([](auto& c) { c.long_rope_divisors.assign(16, 1); }),
            "rope_original_context is 0, not in [1, 16777216]");
  EXPECT_EQ(ErrorWith([](auto& c) { c.rope_original_context = 1; }),
            "rope_original_context is 1, not in [0, 0]");
  EXPECT_THAT(ErrorWith([](auto& c) { c.rope_magnitude = 0; }), HasSubstr("rope_magnitude is 0"));
  EXPECT_THAT(ErrorWith([](auto& c) { c.layers.assign(3, {.rope = LayerRope::kLocal}); }),
              HasSubstr("local_rope_theta is 0"));
  EXPECT_THAT(ErrorWith([](auto& c) { c.local_rope_theta = -1; }),
              HasSubstr("local_rope_theta is -1"));
  EXPECT_THAT(ErrorWith([](auto& c) { c.activation = Activation::kClampedSilu; }),
              HasSubstr("swiglu_alpha is 0"));
  EXPECT_THAT(
      ErrorWith([](auto& c) { c.activation = Activation::kClampedSilu, c.swiglu_alpha = 1; }),
      HasSubstr("swiglu_limit is 0"));
  EXPECT_THAT(ErrorWith([](auto& c) { c.gating = Gating::kSparseMixer; }),
              HasSubstr("router_jitter is 0"));
  EXPECT_THAT(ErrorWith([](auto& c) { c.gating = Gating::kSparseMixer, c.top_k = 3; }),
              HasSubstr("top_k of SparseMixer is 3, not in [2, 2]"));
  EXPECT_EQ(ErrorWith([](auto& c) { c.layers.assign(3, {.chunk = -1}); }),
            "chunk is -1, not in [0, 16777216]");
  EXPECT_THAT(ErrorWith([](auto& c) { c.temperature_floor = 8192; }),
              HasSubstr("temperature_scale is 0"));
  EXPECT_EQ(ErrorWith([](auto& c) { c.temperature_floor = -1; }),
            "temperature_floor is -1, not in [0, 16777216]");
  EXPECT_EQ(ErrorWith([](auto& c) { c.layers.assign(3, {.window = -1}); }),
            "window is -1, not in [0, 16777216]");
  EXPECT_EQ(ErrorWith([](auto& c) { c.n_expert_groups = 3; }),
            "n_expert_groups is 3, which does not divide n_experts 8");
  EXPECT_EQ(ErrorWith([](auto& c) { c.n_groups_used = 2; }), "n_groups_used is 2, not in [1, 1]");
  EXPECT_EQ(ErrorWith([](auto& c) { c.n_expert_groups = 8; }), "top_k is 2, not in [1, 1]");
  EXPECT_EQ(ErrorWith([](auto& c) {
              c.n_expert_groups = c.n_groups_used = 8;
              c.group_rank = GroupRank::kBestTwo;
            }),
            "experts of a group is 1, not in [2, 8]");
  EXPECT_THAT(ErrorWith([](auto& c) { c.routed_scale = 0; }), HasSubstr("routed_scale is 0"));
  EXPECT_THAT(ErrorWith([](auto& c) { c.topk_norm_floor = -1; }),
              HasSubstr("topk_norm_floor is -1"));
  EXPECT_EQ(ErrorWith([](auto& c) { c.v_head_dim = 8; }), "v_head_dim is 8, not in [0, 0]");
  const auto latent = [](ModelConfig& c) {
    c.kv_lora_rank = 16, c.nope_dim = 8, c.v_head_dim = 8, c.rope_dim = 16;
    c.n_kv_heads = 1, c.head_dim = 32, c.attention_scale = 1;
  };
  EXPECT_EQ(ErrorWith(latent), "");
  EXPECT_EQ(ErrorWith([&](auto& c) { latent(c), c.nope_dim = 0; }),
            "nope_dim is 0, not in [1, 1048576]");
  EXPECT_EQ(ErrorWith([&](auto& c) { latent(c), c.n_kv_heads = 2; }),
            "n_kv_heads of latent attention is 2, not in [1, 1]");
  EXPECT_EQ(ErrorWith([&](auto& c) { latent(c), c.head_dim = 48; }),
            "head_dim of latent attention is 48, not in [32, 32]");
  EXPECT_THAT(ErrorWith([&](auto& c) { latent(c), c.attention_scale = 0; }),
              HasSubstr("attention_scale of latent attention is 0"));
  EXPECT_EQ(ErrorWith([](auto& c) { c.MutableLayer(1).mixer = Mixer::kShortConvolution; }),
            "conv_kernel is 0, not in [2, 16]");
  EXPECT_EQ(ErrorWith([](auto& c) { c.conv_kernel = 3; }), "conv_kernel is 3, not in [0, 0]");
  const auto delta = [](ModelConfig& c) {
    c.MutableLayer(1).mixer = Mixer::kDeltaRule;
    c.conv_kernel = 4, c.delta_key_heads = 2, c.delta_value_heads = 4;
    c.delta_key_dim = c.delta_value_dim = 16;
  };
  EXPECT_EQ(ErrorWith(delta), "");
  EXPECT_EQ(ErrorWith([&](auto& c) { delta(c), c.delta_key_heads = 3; }),
            "delta_key_heads is 3, which does not divide delta_value_heads 4");
  EXPECT_EQ(ErrorWith([&](auto& c) { delta(c), c.delta_key_dim = kMaxDim; }),
            "channels of the delta rule is 4194368, not in [3, 1048576]");
  EXPECT_EQ(ErrorWith([](auto& c) { c.rope_divisors = {1}; }),
            "rope_divisors has 1 entries, not rope_dim / 2 = 16");
  EXPECT_THAT(ErrorWith([](auto& c) { c.rope_divisors.assign(16, 0); }),
              HasSubstr("an entry of rope_divisors is 0"));
  EXPECT_THAT(ErrorWith([](auto& c) { c.embedding_scale = 0; }), HasSubstr("embedding_scale is 0"));
  EXPECT_THAT(ErrorWith([](auto& c) { c.residual_scale = NAN; }),
              HasSubstr("residual_scale is nan"));
  EXPECT_THAT(ErrorWith([](auto& c) { c.logit_divisor = 0; }), HasSubstr("logit_divisor is 0"));
  EXPECT_THAT(ErrorWith([](auto& c) { c.attention_scale = -1; }),
              HasSubstr("attention_scale is -1"));
  EXPECT_EQ(ErrorWith([](auto& c) { c.top_k = 9; }), "top_k is 9, not in [1, 8]");
  EXPECT_EQ(ErrorWith([](auto& c) { c.n_experts = 100, c.top_k = 65; }),
            "top_k is 65, not in [1, 64]");
  EXPECT_EQ(ErrorWith([](auto& c) { c.n_kv_heads = 5; }), "n_kv_heads is 5, not in [1, 4]");
  EXPECT_EQ(ErrorWith([](auto& c) { c.context_length = 0; }),
            "context_length is 0, not in [1, 16777216]");
  EXPECT_THAT(ErrorWith([](auto& c) { c.n_heads = 1 << 15, c.head_dim = 1 << 10; }),
              HasSubstr("n_heads * head_dim is 33554432"));
}

TEST(ModelConfigTest, RefusesNumbersThatDoNotFitTogether) {
  EXPECT_THAT(ErrorWith([](auto& c) { c.n_kv_heads = 3; }),
              HasSubstr("n_kv_heads is 3, which does not divide n_heads 4"));
  EXPECT_THAT(ErrorWith([](auto& c) { c.rope_dim = 31; }), HasSubstr("rope_dim is 31"));
}

TEST(ModelConfigTest, RefusesNumbersThatAreNotFiniteAndPositive) {
  EXPECT_THAT(ErrorWith([](auto& c) { c.rope_theta = NAN; }), HasSubstr("rope_theta is nan"));
  EXPECT_THAT(ErrorWith([](auto& c) { c.rope_theta = INFINITY; }), HasSubstr("rope_theta is inf"));
  EXPECT_THAT(ErrorWith([](auto& c) { c.rms_norm_eps = 0; }), HasSubstr("rms_norm_eps is 0"));
  EXPECT_THAT(ErrorWith([](auto& c) { c.rms_norm_eps = -1e-6F; }), HasSubstr("rms_norm_eps is -"));
}

TEST(ModelConfigTest, CountsDenseLayersAndSharedExpertsAsExperts) {
  ModelConfig config = GoodConfig();
  config.shared_ffn_dim = 40;
  config.dense_ffn_dim = 100;
  config.layers = {{.dense = true}, {}, {}};
  EXPECT_TRUE(ValidateConfig(config).ok());
  EXPECT_EQ(config.NumExperts(0), 1);
  EXPECT_EQ(config.NumExperts(1), 9);
  EXPECT_EQ(config.MaxExperts(), 9);
  EXPECT_EQ(config.NumPicks(0), 1);
  EXPECT_EQ(config.NumPicks(2), 3);
  EXPECT_EQ(config.ExpertWidth(0, 0), 100);
  EXPECT_EQ(config.ExpertWidth(1, 7), 48);
  EXPECT_EQ(config.ExpertWidth(1, 8), 40);
  EXPECT_EQ(config.MaxExpertWidth(), 100);
}

}  // namespace
}  // namespace shoal
