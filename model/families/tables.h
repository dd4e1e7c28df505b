#pragma once

#include <array>

#include "model/families/family.h"

namespace shoal {

// One constant per architecture, each defined in the file that bears its name.
extern const Family kGemma3;
extern const Family kGptOss;
extern const Family kDeepSeek2;
extern const Family kErnie45Moe;
extern const Family kGlm4Moe;
extern const Family kGranite;
extern const Family kGraniteMoe;
extern const Family kHunyuanMoe;
extern const Family kInternLm2;
extern const Family kLfm2Moe;
extern const Family kLlama;
extern const Family kLlama4;
extern const Family kOlmoe;
extern const Family kPhi3;
extern const Family kPhiMoe;
extern const Family kQwen2;
extern const Family kQwen2Moe;
extern const Family kQwen3;
extern const Family kQwen3Moe;
extern const Family kQwen3Next;
extern const Family kSmolLm3;

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
// The list with another name or shape for one of its tensors.
template <size_t kSize>
constexpr std::array<TensorSpec, kSize> With(std::array<TensorSpec, kSize> list, TensorSpec other) {
  for (TensorSpec& spec : list) {
    if (spec.role == other.role) spec = other;
  }
  return list;
}
// What some architectures call the norm before the experts.
inline constexpr TensorSpec kFfnNormAfterAttention = {
    kFfnNorm, "blk.#.post_attention_norm.weight", {kHidden}, true};

// Latent attention in place of kAttnQ to kAttnOutput.
inline constexpr std::array kLatentDecoder = {
    kDecoder[0],
    kDecoder[1],
    kDecoder[2],
    kDecoder[3],
    TensorSpec{kAttnQ, "blk.#.attn_q.weight", {kLatentQueries, kHidden}},
    TensorSpec{kAttnQA, "blk.#.attn_q_a.weight", {kQLora, kHidden}},
    TensorSpec{kAttnQANorm, "blk.#.attn_q_a_norm.weight", {kQLora}, /*f32_only=*/true},
    TensorSpec{kAttnQB, "blk.#.attn_q_b.weight", {kLatentQueries, kQLora}},
    TensorSpec{kAttnKvA, "blk.#.attn_kv_a_mqa.weight", {kHeadDim, kHidden}},
    TensorSpec{kAttnKvANorm, "blk.#.attn_kv_a_norm.weight", {kKvLora}, /*f32_only=*/true},
    TensorSpec{kAttnKB, "blk.#.attn_k_b.weight", {kHeads, kKvLora, kNope}, false, false, kAttnKvB},
    TensorSpec{kAttnVB, "blk.#.attn_v_b.weight", {kHeads, kVHead, kKvLora}, false, false, kAttnKvB},
    TensorSpec{kAttnKvB, "blk.#.attn_kv_b.weight", {kLatentKeysValues, kKvLora}, false, true},
    TensorSpec{kAttnOutput, "blk.#.attn_output.weight", {kHidden, kLatentOutputs}},
    kDecoder[8],
};
static_assert(kDecoder[3].role == kAttnNorm && kDecoder[8].role == kFfnNorm);

inline constexpr std::array kShortConvolution = {
    TensorSpec{kConvIn, "blk.#.shortconv.in_proj.weight", {kConvChannels, kHidden}},
    TensorSpec{kConv, "blk.#.shortconv.conv.weight", {kHidden, kConvKernel}, /*f32_only=*/true},
    TensorSpec{kConvOut, "blk.#.shortconv.out_proj.weight", {kHidden, kHidden}},
};
inline constexpr std::array kDeltaRule = {
    TensorSpec{kDeltaQkv, "blk.#.attn_qkv.weight", {kDeltaChannels, kHidden}},
    TensorSpec{kDeltaGate, "blk.#.attn_gate.weight", {kDeltaValues, kHidden}},
    TensorSpec{kDeltaBa, "blk.#.ssm_ba.weight", {kDeltaTwoPerHead, kHidden}},
    TensorSpec{kDeltaConv, "blk.#.ssm_conv1d.weight", {kDeltaChannels, kConvKernel}, true},
    TensorSpec{kDeltaA, "blk.#.ssm_a", {kDeltaHeads}, /*f32_only=*/true},
    TensorSpec{kDeltaDtBias, "blk.#.ssm_dt.bias", {kDeltaHeads}, /*f32_only=*/true},
    TensorSpec{kDeltaNorm, "blk.#.ssm_norm.weight", {kDeltaValue}, /*f32_only=*/true},
    TensorSpec{kDeltaOut, "blk.#.ssm_out.weight", {kHidden, kDeltaValues}},
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
inline constexpr std::array kChoiceBiases = {
    TensorSpec{kChoiceBias, "blk.#.exp_probs_b.bias", {kExperts}, /*f32_only=*/true},
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
