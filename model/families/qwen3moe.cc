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

}  // namespace

// Qwen3-MoE: softmax over all experts, the best top_k of them renormalized; no file says so.
constinit const Family kQwen3Moe = {
    .architecture = "qwen3moe",
    .rope_pairing = RopePairing::kHalf,
    .head_norm = true,
    .norm_topk_prob = true,
    .tensors = kTensors,
};

}  // namespace shoal
