#pragma once

#include <array>

#include "model/families/family.h"

namespace shoal {

// One constant per architecture, each defined in the file that bears its name.
extern const Family kGraniteMoe;
extern const Family kHunyuanMoe;
extern const Family kInternLm2;
extern const Family kLlama;
extern const Family kOlmoe;
extern const Family kQwen2;
extern const Family kQwen2Moe;
extern const Family kQwen3;
extern const Family kQwen3Moe;

// What tables are made of: tensors as converters to GGUF name them. Norms, biases and routers are
// F32 in every file they write; matrices come in any format.
namespace tensors {

using enum Extent;
using enum TensorRole;

inline constexpr std::array kDecoder = {
    TensorSpec{kTokenEmbd, "token_embd.weight", {kVocab, kHidden}},
    TensorSpec{kOutputNorm, "output_norm.weight", {kHidden}, /*f32_only=*/true},
    TensorSpec{kOutput, "output.weight", {kVocab, kHidden}, false, /*optional=*/true},
    TensorSpec{kAttnNorm, "blk.#.attn_norm.weight", {kHidden}, /*f32_only=*/true},
    TensorSpec{kAttnQ, "blk.#.attn_q.weight", {kQueries, kHidden}},
    TensorSpec{kAttnK, "blk.#.attn_k.weight", {kKeys, kHidden}},
    TensorSpec{kAttnV, "blk.#.attn_v.weight", {kKeys, kHidden}},
    TensorSpec{kAttnOutput, "blk.#.attn_output.weight", {kHidden, kQueries}},
    TensorSpec{kFfnNorm, "blk.#.ffn_norm.weight", {kHidden}, /*f32_only=*/true},
};

inline constexpr std::array kHeadNorms = {
    TensorSpec{kAttnQNorm, "blk.#.attn_q_norm.weight", {kHeadDim}, /*f32_only=*/true},
    TensorSpec{kAttnKNorm, "blk.#.attn_k_norm.weight", {kHeadDim}, /*f32_only=*/true},
};
inline constexpr std::array kWholeNorms = {
    TensorSpec{kAttnQNorm, "blk.#.attn_q_norm.weight", {kQueries}, /*f32_only=*/true},
    TensorSpec{kAttnKNorm, "blk.#.attn_k_norm.weight", {kKeys}, /*f32_only=*/true},
};
inline constexpr std::array kQkvBiases = {
    TensorSpec{kAttnQBias, "blk.#.attn_q.bias", {kQueries}, /*f32_only=*/true},
    TensorSpec{kAttnKBias, "blk.#.attn_k.bias", {kKeys}, /*f32_only=*/true},
    TensorSpec{kAttnVBias, "blk.#.attn_v.bias", {kKeys}, /*f32_only=*/true},
};

inline constexpr std::array kRopeDivisors = {
    TensorSpec{kRopeFreqs, "rope_freqs.weight", {kRopePairs}, /*f32_only=*/true, /*optional=*/true},
};

inline constexpr std::array kDense = {
    TensorSpec{kFfnGate, "blk.#.ffn_gate.weight", {kDenseFfn, kHidden}},
    TensorSpec{kFfnUp, "blk.#.ffn_up.weight", {kDenseFfn, kHidden}},
    TensorSpec{kFfnDown, "blk.#.ffn_down.weight", {kHidden, kDenseFfn}},
};
inline constexpr std::array kRouted = {
    TensorSpec{kFfnGateInp, "blk.#.ffn_gate_inp.weight", {kExperts, kHidden}, /*f32_only=*/true},
    TensorSpec{kFfnGateExps, "blk.#.ffn_gate_exps.weight", {kExperts, kFfn, kHidden}},
    TensorSpec{kFfnUpExps, "blk.#.ffn_up_exps.weight", {kExperts, kFfn, kHidden}},
    TensorSpec{kFfnDownExps, "blk.#.ffn_down_exps.weight", {kExperts, kHidden, kFfn}},
};
inline constexpr std::array kShared = {
    TensorSpec{kFfnGateShexp, "blk.#.ffn_gate_shexp.weight", {kSharedFfn, kHidden}},
    TensorSpec{kFfnUpShexp, "blk.#.ffn_up_shexp.weight", {kSharedFfn, kHidden}},
    TensorSpec{kFfnDownShexp, "blk.#.ffn_down_shexp.weight", {kHidden, kSharedFfn}},
};
inline constexpr std::array kSharedGate = {
    TensorSpec{kSharedGateInp, "blk.#.ffn_gate_inp_shexp.weight", {kOne, kHidden}, true},
};

}  // namespace tensors
}  // namespace shoal
