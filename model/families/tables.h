#pragma once

#include <array>

#include "model/families/family.h"

namespace shoal {

// One constant per architecture, each defined in the file that bears its name.
extern const Family kGemma3;
extern const Family kGptOss;
extern const Family kGraniteMoe;
extern const Family kHunyuanMoe;
extern const Family kInternLm2;
extern const Family kLlama;
extern const Family kOlmoe;
extern const Family kPhi3;
extern const Family kPhiMoe;
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

inline constexpr std::array kOutputProjectionBias = {
    TensorSpec{kAttnOutputBias, "blk.#.attn_output.bias", {kHidden}, true},
};
inline constexpr std::array kSinks = {
    TensorSpec{kAttnSinks, "blk.#.attn_sinks.weight", {kHeads}, true},
};
inline constexpr std::array kPostNorms = {
    TensorSpec{kAttnPostNorm, "blk.#.post_attention_norm.weight", {kHidden}, true},
    TensorSpec{kFfnPostNorm, "blk.#.post_ffw_norm.weight", {kHidden}, true},
};
inline constexpr std::array kLayerNormBiases = {
    TensorSpec{kOutputNormBias, "output_norm.bias", {kHidden}, true},
    TensorSpec{kAttnNormBias, "blk.#.attn_norm.bias", {kHidden}, true},
    TensorSpec{kFfnNormBias, "blk.#.ffn_norm.bias", {kHidden}, true},
};

inline constexpr std::array kRopeDivisors = {
    TensorSpec{kRopeFreqs, "rope_freqs.weight", {kRopePairs}, /*f32_only=*/true, /*optional=*/true},
};

inline constexpr std::array kLongRope = {
    TensorSpec{kRopeFactorsShort, "rope_factors_short.weight", {kRopePairs}, true, true},
    TensorSpec{kRopeFactorsLong, "rope_factors_long.weight", {kRopePairs}, true, true},
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
inline constexpr std::array kRoutedBiases = {
    TensorSpec{kFfnGateInpBias, "blk.#.ffn_gate_inp.bias", {kExperts}, true},
    TensorSpec{kFfnGateExpsBias, "blk.#.ffn_gate_exps.bias", {kExperts, kFfn}, true},
    TensorSpec{kFfnUpExpsBias, "blk.#.ffn_up_exps.bias", {kExperts, kFfn}, true},
    TensorSpec{kFfnDownExpsBias, "blk.#.ffn_down_exps.bias", {kExperts, kHidden}, true},
};
inline constexpr std::array kShared = {
    TensorSpec{kFfnGateShexp, "blk.#.ffn_gate_shexp.weight", {kSharedFfn, kHidden}},
    TensorSpec{kFfnUpShexp, "blk.#.ffn_up_shexp.weight", {kSharedFfn, kHidden}},
    TensorSpec{kFfnDownShexp, "blk.#.ffn_down_shexp.weight", {kHidden, kSharedFfn}},
};
inline constexpr std::array kSharedGate = {
    TensorSpec{kSharedGateInp, "blk.#.ffn_gate_inp_shexp.weight", {kOne, kHidden}, true},
};

// What some files have in one tensor.
inline constexpr std::array kQkvParts = {kAttnQ, kAttnK, kAttnV};
inline constexpr std::array kGateUpParts = {kFfnGate, kFfnUp};
inline constexpr std::array kFused = {
    FusedTensor{"blk.#.attn_qkv.weight", kQkvParts},
    FusedTensor{"blk.#.ffn_up.weight", kGateUpParts},
};

// The list with a tensor under another name.
template <size_t kSize>
constexpr auto Renamed(std::array<TensorSpec, kSize> list, TensorRole role, std::string_view name) {
  for (TensorSpec& spec : list) {
    if (spec.role == role) spec.name = name;
  }
  return list;
}

// The list, all of which a model may lack.
template <size_t kSize>
constexpr auto Optional(std::array<TensorSpec, kSize> list) {
  for (TensorSpec& spec : list) spec.optional = true;
  return list;
}

}  // namespace tensors
}  // namespace shoal
