#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = tensors::Join(tensors::kDecoder, tensors::kHeadNorms, tensors::kRouted);

constexpr CheckpointName kCheckpoint[] = {
    {TensorRole::kTokenEmbd, "model.embed_tokens.weight"},
    {TensorRole::kOutputNorm, "model.norm.weight"},
    {TensorRole::kOutput, "lm_head.weight"},
    {TensorRole::kAttnNorm, "model.layers.#.input_layernorm.weight"},
    {TensorRole::kAttnQ, "model.layers.#.self_attn.q_proj.weight"},
    {TensorRole::kAttnK, "model.layers.#.self_attn.k_proj.weight"},
    {TensorRole::kAttnV, "model.layers.#.self_attn.v_proj.weight"},
    {TensorRole::kAttnOutput, "model.layers.#.self_attn.o_proj.weight"},
    {TensorRole::kAttnQNorm, "model.layers.#.self_attn.q_norm.weight"},
    {TensorRole::kAttnKNorm, "model.layers.#.self_attn.k_norm.weight"},
    {TensorRole::kFfnNorm, "model.layers.#.post_attention_layernorm.weight"},
    {TensorRole::kFfnGateInp, "model.layers.#.mlp.gate.weight"},
    {TensorRole::kFfnGateExps, "model.layers.#.mlp.experts.@.gate_proj.weight"},
    {TensorRole::kFfnUpExps, "model.layers.#.mlp.experts.@.up_proj.weight"},
    {TensorRole::kFfnDownExps, "model.layers.#.mlp.experts.@.down_proj.weight"},
};

}  // namespace

// Qwen3-MoE: softmax over all experts, the best top_k of them renormalized; no file says so.
constinit const Family kQwen3Moe = {
    .architecture = "qwen3moe",
    .rope_pairing = RopePairing::kHalf,
    .qk_norm = QkNorm::kHead,
    .norm_topk_prob = true,
    .tensors = kTensors,
    .checkpoint_type = "qwen3_moe",
    .checkpoint_names = kCheckpoint,
};

}  // namespace shoal
