#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = Join(tensors::kLatentDecoder, tensors::kDense, tensors::kRouted,
                               tensors::kChoiceBiases, tensors::kShared);

constexpr char kKvB[] = "model.layers.#.self_attn.kv_b_proj.weight";
constexpr Segments kHead = {Extent::kNope, Extent::kVHead};
constexpr auto kNames = Join(
    std::array{
        CheckpointName{TensorRole::kTokenEmbd, "model.embed_tokens.weight"},
        CheckpointName{TensorRole::kOutputNorm, "model.norm.weight"},
        CheckpointName{TensorRole::kOutput, "lm_head.weight"},
        CheckpointName{TensorRole::kAttnNorm, "model.layers.#.input_layernorm.weight"},
        CheckpointName{TensorRole::kAttnQ, "model.layers.#.self_attn.q_proj.weight"},
        CheckpointName{TensorRole::kAttnQA, "model.layers.#.self_attn.q_a_proj.weight"},
        CheckpointName{TensorRole::kAttnQANorm, "model.layers.#.self_attn.q_a_layernorm.weight"},
        CheckpointName{TensorRole::kAttnQB, "model.layers.#.self_attn.q_b_proj.weight"},
        CheckpointName{TensorRole::kAttnKvA, "model.layers.#.self_attn.kv_a_proj_with_mqa.weight"},
        CheckpointName{TensorRole::kAttnKvANorm, "model.layers.#.self_attn.kv_a_layernorm.weight"},
        CheckpointName{TensorRole::kAttnKB, kKvB, kHead, 0, StoredForm::kTransposedRows},
        CheckpointName{TensorRole::kAttnVB, kKvB, kHead, 1},
        CheckpointName{TensorRole::kAttnOutput, "model.layers.#.self_attn.o_proj.weight"},
        CheckpointName{TensorRole::kFfnNorm, "model.layers.#.post_attention_layernorm.weight"},
    },
    checkpoint::kDense, checkpoint::kRouted, checkpoint::kSharedExperts);
constexpr auto kV3Names = Join(kNames, checkpoint::kCorrectionBias);
constexpr std::array kLatentKeys = {
    ConfigKey{"kv_lora_rank", &ModelConfig::kv_lora_rank},
    ConfigKey{"q_lora_rank", &ModelConfig::q_lora_rank},
    ConfigKey{"qk_nope_head_dim", &ModelConfig::nope_dim},
    ConfigKey{"qk_rope_head_dim", &ModelConfig::rope_dim},
    ConfigKey{"v_head_dim", &ModelConfig::v_head_dim},
    ConfigKey{"qk_head_dim", ConfigRule::kIgnored},
    ConfigKey{"head_dim", ConfigRule::kIgnored},
    ConfigKey{"num_key_value_heads", ConfigRule::kIgnored},
    ConfigKey{"rope_interleave", OnlyValue{"true"}},
};
constexpr auto kV2Keys =
    Join(kLatentKeys, checkpoint::kDeepSeekRoutedKeys,
         std::array{ConfigKey{"first_k_dense_replace", ConfigRule::kLeadingDense, 0},
                    ConfigKey{"norm_topk_prob", OnlyValue{"false"}},
                    ConfigKey{"routed_scaling_factor", &ModelConfig::routed_scale, 1},
                    ConfigKey{"scoring_func", OnlyValue{"'softmax'"}},
                    ConfigKey{"topk_method", ConfigRule::kTopkMethod}});
constexpr auto kV3Keys =
    Join(kLatentKeys, checkpoint::kDeepSeekRoutedKeys, checkpoint::kSigmoidRoutingKeys,
         std::array{ConfigKey{"first_k_dense_replace", ConfigRule::kLeadingDense, 3},
                    ConfigKey{"routed_scaling_factor", &ModelConfig::routed_scale, 2.5}});
constexpr auto kGlmKeys =
    Join(kLatentKeys, checkpoint::kDeepSeekRoutedKeys, checkpoint::kSigmoidRoutingKeys,
         std::array{ConfigKey{"rms_norm_eps", &ModelConfig::rms_norm_eps, 1e-5},
                    ConfigKey{"first_k_dense_replace", ConfigRule::kLeadingDense, 1},
                    ConfigKey{"mlp_layer_types", ConfigRule::kMlpLayerTypes},
                    ConfigKey{"partial_rotary_factor", OnlyValue{"1"}},
                    ConfigKey{"routed_scaling_factor", &ModelConfig::routed_scale, 1.8}});

constexpr CheckpointType V3(std::string_view model_type, std::span<const ConfigKey> keys) {
  return {.model_type = model_type,
          .rope_pairing = RopePairing::kAdjacent,
          .gating = Gating::kSigmoid,
          .tensors = kV3Names,
          .keys = keys};
}
constexpr CheckpointType kCheckpoints[] = {{.model_type = "deepseek_v2",
                                            .rope_pairing = RopePairing::kAdjacent,
                                            .tensors = kNames,
                                            .keys = kV2Keys},
                                           V3("deepseek_v3", kV3Keys),
                                           V3("kimi_k2", kV3Keys),
                                           V3("glm4_moe_lite", kGlmKeys)};

}  // namespace

// DeepSeek-V2, V2-Lite, V3 and R1; Kimi-K2 and GLM-4.7-Flash, which are V3 with other numbers. V2
// is softmax without a bias.
constinit const Family kDeepSeek2 = {
    .architecture = "deepseek2",
    .rope_pairing = RopePairing::kAdjacent,
    .optional_shared = true,
    .yarn_scales_scores = true,
    .topk_norm_floor = 1e-20F,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
