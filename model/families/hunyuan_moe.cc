#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors =
    Join(tensors::kDecoder, tensors::kHeadNorms, tensors::kRouted, tensors::kShared);

constexpr auto kNames = Join(
    checkpoint::kDecoder, checkpoint::kExpertsOneByOne,
    std::array{
        CheckpointName{TensorRole::kAttnQNorm, "model.layers.#.self_attn.query_layernorm.weight"},
        CheckpointName{TensorRole::kAttnKNorm, "model.layers.#.self_attn.key_layernorm.weight"},
        CheckpointName{TensorRole::kFfnGateInp, "model.layers.#.mlp.gate.wg.weight"},
        CheckpointName{TensorRole::kFfnGateShexp, "model.layers.#.mlp.shared_mlp.gate_proj.weight"},
        CheckpointName{TensorRole::kFfnUpShexp, "model.layers.#.mlp.shared_mlp.up_proj.weight"},
        CheckpointName{TensorRole::kFfnDownShexp, "model.layers.#.mlp.shared_mlp.down_proj.weight"},
    });
constexpr ConfigKey kKeys[] = {
    {"rms_norm_eps", &ModelConfig::rms_norm_eps, 1e-5},
    {"num_experts", &ModelConfig::n_experts, std::nullopt, "num_local_experts"},
    {"moe_topk", &ModelConfig::top_k, std::nullopt, "num_experts_per_tok"},
    {"moe_intermediate_size", &ModelConfig::ffn_dim, std::nullopt, "intermediate_size"},
    {"intermediate_size", &ModelConfig::shared_ffn_dim},
    {"num_shared_expert", OnlyValue{"1"}},
    {"norm_topk_prob", OnlyValue{"true"}},
    {"use_mixed_mlp_moe", OnlyValue{"true"}},
    {"use_qk_norm", OnlyValue{"true"}},
    {"use_cla", OnlyValue{"false"}},
    {"use_mla", OnlyValue{"false"}},
    {"group_limited_greedy", OnlyValue{"false"}},
    {"moe_layer_num_skipped", OnlyValue{"0"}},
    {"attention_head_dim", ConfigRule::kIgnored},
    {"num_layers", ConfigRule::kIgnored},
    {"norm_type", ConfigRule::kIgnored},
    {"cla_share_factor", ConfigRule::kIgnored},
    {"max_seq_len", ConfigRule::kIgnored},
    {"moe_drop_tokens", ConfigRule::kIgnored},
    {"moe_random_routing_dropped_token", ConfigRule::kIgnored},
};
constexpr CheckpointType kCheckpoints[] = {
    {.model_type = "hunyuan_v1_moe", .rope_alpha = true, .tensors = kNames, .keys = kKeys}};

}  // namespace

// Hunyuan-MoE: heads are normed after rope; a shared expert without a gate.
constinit const Family kHunyuanMoe = {
    .architecture = "hunyuan-moe",
    .rope_pairing = RopePairing::kHalf,
    .qk_norm = QkNorm::kHeadAfterRope,
    .norm_topk_prob = true,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
