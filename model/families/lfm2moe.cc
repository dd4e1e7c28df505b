#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr TensorSpec kOutputNorm = {
    TensorRole::kOutputNorm, "token_embd_norm.weight", {Extent::kHidden}, /*f32_only=*/true};

constexpr auto kTensors =
    Join(tensors::With(tensors::kDecoder, kOutputNorm), tensors::kHeadNorms,
         tensors::kShortConvolution, tensors::kDense, tensors::kRouted, tensors::kChoiceBiases);

constexpr CheckpointName kNames[] = {
    {TensorRole::kTokenEmbd, "model.embed_tokens.weight"},
    {TensorRole::kOutputNorm, "model.embedding_norm.weight"},
    {TensorRole::kOutput, "lm_head.weight"},
    {TensorRole::kAttnNorm, "model.layers.#.operator_norm.weight"},
    {TensorRole::kAttnQ, "model.layers.#.self_attn.q_proj.weight"},
    {TensorRole::kAttnK, "model.layers.#.self_attn.k_proj.weight"},
    {TensorRole::kAttnV, "model.layers.#.self_attn.v_proj.weight"},
    {TensorRole::kAttnOutput, "model.layers.#.self_attn.out_proj.weight"},
    {TensorRole::kAttnQNorm, "model.layers.#.self_attn.q_layernorm.weight"},
    {TensorRole::kAttnKNorm, "model.layers.#.self_attn.k_layernorm.weight"},
    {TensorRole::kConvIn, "model.layers.#.conv.in_proj.weight"},
    {TensorRole::kConv, "model.layers.#.conv.conv.weight"},
    {TensorRole::kConvOut, "model.layers.#.conv.out_proj.weight"},
    {TensorRole::kFfnNorm, "model.layers.#.ffn_norm.weight"},
    {TensorRole::kFfnGate, "model.layers.#.feed_forward.w1.weight"},
    {TensorRole::kFfnUp, "model.layers.#.feed_forward.w3.weight"},
    {TensorRole::kFfnDown, "model.layers.#.feed_forward.w2.weight"},
    {TensorRole::kFfnGateInp, "model.layers.#.feed_forward.gate.weight"},
    {TensorRole::kChoiceBias, "model.layers.#.feed_forward.expert_bias"},
    {TensorRole::kFfnGateExps, "model.layers.#.feed_forward.experts.@.w1.weight"},
    {TensorRole::kFfnUpExps, "model.layers.#.feed_forward.experts.@.w3.weight"},
    {TensorRole::kFfnDownExps, "model.layers.#.feed_forward.experts.@.w2.weight"},
};
constexpr ConfigKey kKeys[] = {
    {"norm_eps", &ModelConfig::rms_norm_eps, 1e-5},
    {"rms_norm_eps", ConfigRule::kIgnored},  // The one above counts.
    {"tie_word_embeddings", &ModelConfig::tied_embeddings, 1, "tie_embedding"},
    {"num_key_value_heads", &ModelConfig::n_kv_heads},
    {"conv_L_cache", &ModelConfig::conv_kernel, 3},
    {"conv_bias", OnlyValue{"false"}},
    {"num_experts", &ModelConfig::n_experts, std::nullopt, "num_local_experts"},
    {"num_experts_per_tok", &ModelConfig::top_k},
    {"moe_intermediate_size", &ModelConfig::ffn_dim},
    {"intermediate_size", &ModelConfig::dense_ffn_dim, 0},
    {"num_dense_layers", ConfigRule::kLeadingDense, 2},
    {"norm_topk_prob", &ModelConfig::norm_topk_prob, 1},
    {"routed_scaling_factor", &ModelConfig::routed_scale, 1},
    {"use_expert_bias", &ModelConfig::choice_bias, 1},
    {"use_pos_enc", OnlyValue{"true"}},
};
constexpr CheckpointType kCheckpoints[] = {{.model_type = "lfm2_moe",
                                            .rope_theta = 1e6,
                                            .gating = Gating::kSigmoid,
                                            .tensors = kNames,
                                            .keys = kKeys}};

}  // namespace

// LFM2-MoE: short convolutions in most layers; a layer without kv heads is one.
constinit const Family kLfm2Moe = {
    .architecture = "lfm2moe",
    .rope_pairing = RopePairing::kHalf,
    .qk_norm = QkNorm::kHead,
    .norm_topk_prob = true,
    .gating = Gating::kSigmoid,
    .topk_norm_floor = 1e-6F,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
