#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr std::array kHeadBias = {
    TensorSpec{TensorRole::kOutputBias, "output.bias", {Extent::kVocab}, /*f32_only=*/true},
};

constexpr auto kTensors =
    Join(tensors::kDecoder, tensors::kLayerNormBiases, tensors::kLongRope, tensors::kRouted,
         tensors::Optional(Join(tensors::kQkvBiases, tensors::kOutputProjectionBias, kHeadBias)));

constexpr auto kNames = Join(
    checkpoint::kDecoder, checkpoint::kQkvBiases, checkpoint::kW1W2W3,
    std::array{
        CheckpointName{TensorRole::kAttnOutputBias, "model.layers.#.self_attn.o_proj.bias"},
        CheckpointName{TensorRole::kOutputBias, "lm_head.bias"},
        CheckpointName{TensorRole::kOutputNormBias, "model.norm.bias"},
        CheckpointName{TensorRole::kAttnNormBias, "model.layers.#.input_layernorm.bias"},
        CheckpointName{TensorRole::kFfnNormBias, "model.layers.#.post_attention_layernorm.bias"},
    });
constexpr TensorRole kAttentionBiases[] = {TensorRole::kAttnQBias, TensorRole::kAttnKBias,
                                           TensorRole::kAttnVBias, TensorRole::kAttnOutputBias};
constexpr TensorRole kHeadBiases[] = {TensorRole::kOutputBias};
constexpr ConfigKey kKeys[] = {
    {"num_key_value_heads", &ModelConfig::n_kv_heads},
    {"rms_norm_eps", &ModelConfig::rms_norm_eps, 1e-5},
    {"num_local_experts", &ModelConfig::n_experts, std::nullopt, "num_experts"},
    {"num_experts_per_tok", &ModelConfig::top_k},
    {"intermediate_size", &ModelConfig::ffn_dim},
    {"sliding_window", ConfigRule::kWindow},
    {"attention_bias", HasTensors{kAttentionBiases}},
    {"lm_head_bias", HasTensors{kHeadBiases}},
    {"router_jitter_noise", &ModelConfig::router_jitter, 0.01},
    {"input_jitter_noise", ConfigRule::kIgnored},  // Of training.
};
constexpr CheckpointType kCheckpoints[] = {{.model_type = "phimoe",
                                            .rope_theta = 1e6,
                                            .rope_mscales = true,
                                            .tensors = kNames,
                                            .keys = kKeys}};

}  // namespace

// Phi-3.5-MoE: LayerNorm, and experts chosen by SparseMixer, whose jitter no file states.
constinit const Family kPhiMoe = {
    .architecture = "phimoe",
    .rope_pairing = RopePairing::kHalf,
    .window_period = kEveryLayer,
    .norm = NormKind::kLayer,
    .gating = Gating::kSparseMixer,
    .router_jitter = 0.01F,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
