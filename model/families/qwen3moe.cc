#include "model/families/tables.h"

namespace shoal {
namespace {

using enum Extent;

// Norms and routers are F32 in every file the converters write; matrices come in any format.
constexpr TensorSpec kTensors[] = {
    {TensorRole::kTokenEmbd, "token_embd.weight", {kVocab, kHidden}},
    {TensorRole::kOutputNorm, "output_norm.weight", {kHidden}, /*f32_only=*/true},
    {TensorRole::kOutput, "output.weight", {kVocab, kHidden}, false, /*optional=*/true},
    {TensorRole::kAttnNorm, "blk.#.attn_norm.weight", {kHidden}, /*f32_only=*/true},
    {TensorRole::kAttnQ, "blk.#.attn_q.weight", {kQueries, kHidden}},
    {TensorRole::kAttnK, "blk.#.attn_k.weight", {kKeys, kHidden}},
    {TensorRole::kAttnV, "blk.#.attn_v.weight", {kKeys, kHidden}},
    {TensorRole::kAttnOutput, "blk.#.attn_output.weight", {kHidden, kQueries}},
    {TensorRole::kAttnQNorm, "blk.#.attn_q_norm.weight", {kHeadDim}, /*f32_only=*/true},
    {TensorRole::kAttnKNorm, "blk.#.attn_k_norm.weight", {kHeadDim}, /*f32_only=*/true},
    {TensorRole::kFfnNorm, "blk.#.ffn_norm.weight", {kHidden}, /*f32_only=*/true},
    {TensorRole::kFfnGateInp, "blk.#.ffn_gate_inp.weight", {kExperts, kHidden}, /*f32_only=*/true},
    {TensorRole::kFfnGateExps, "blk.#.ffn_gate_exps.weight", {kExperts, kFfn, kHidden}},
    {TensorRole::kFfnUpExps, "blk.#.ffn_up_exps.weight", {kExperts, kFfn, kHidden}},
    {TensorRole::kFfnDownExps, "blk.#.ffn_down_exps.weight", {kExperts, kHidden, kFfn}},
};

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
    .head_norm = true,
    .norm_topk_prob = true,
    .tensors = kTensors,
    .checkpoint_type = "qwen3_moe",
    .checkpoint_names = kCheckpoint,
};

}  // namespace shoal
