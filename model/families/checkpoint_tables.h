#pragma once

#include <array>
#include <optional>

#include "model/families/family.h"

namespace shoal::checkpoint {

// What checkpoints' tables are made of: tensors as most model types name them, and the keys of
// config.json that several share.
using enum Extent;
using enum TensorRole;

inline constexpr std::array kDecoder = {
    CheckpointName{kTokenEmbd, "model.embed_tokens.weight"},
    CheckpointName{kOutputNorm, "model.norm.weight"},
    CheckpointName{kOutput, "lm_head.weight"},
    CheckpointName{kAttnNorm, "model.layers.#.input_layernorm.weight"},
    CheckpointName{kAttnQ, "model.layers.#.self_attn.q_proj.weight"},
    CheckpointName{kAttnK, "model.layers.#.self_attn.k_proj.weight"},
    CheckpointName{kAttnV, "model.layers.#.self_attn.v_proj.weight"},
    CheckpointName{kAttnOutput, "model.layers.#.self_attn.o_proj.weight"},
    CheckpointName{kFfnNorm, "model.layers.#.post_attention_layernorm.weight"},
};
inline constexpr std::array kQkNorms = {
    CheckpointName{kAttnQNorm, "model.layers.#.self_attn.q_norm.weight"},
    CheckpointName{kAttnKNorm, "model.layers.#.self_attn.k_norm.weight"},
};
inline constexpr std::array kQkvBiases = {
    CheckpointName{kAttnQBias, "model.layers.#.self_attn.q_proj.bias"},
    CheckpointName{kAttnKBias, "model.layers.#.self_attn.k_proj.bias"},
    CheckpointName{kAttnVBias, "model.layers.#.self_attn.v_proj.bias"},
};
inline constexpr std::array kDense = {
    CheckpointName{kFfnGate, "model.layers.#.mlp.gate_proj.weight"},
    CheckpointName{kFfnUp, "model.layers.#.mlp.up_proj.weight"},
    CheckpointName{kFfnDown, "model.layers.#.mlp.down_proj.weight"},
};
inline constexpr std::array kExpertsOneByOne = {
    CheckpointName{kFfnGateExps, "model.layers.#.mlp.experts.@.gate_proj.weight"},
    CheckpointName{kFfnUpExps, "model.layers.#.mlp.experts.@.up_proj.weight"},
    CheckpointName{kFfnDownExps, "model.layers.#.mlp.experts.@.down_proj.weight"},
};
inline constexpr std::array kRouted = Join(
    std::array{CheckpointName{kFfnGateInp, "model.layers.#.mlp.gate.weight"}}, kExpertsOneByOne);

inline constexpr std::array kW1W2W3 = {
    CheckpointName{kFfnGateInp, "model.layers.#.block_sparse_moe.gate.weight"},
    CheckpointName{kFfnGateExps, "model.layers.#.block_sparse_moe.experts.@.w1.weight"},
    CheckpointName{kFfnUpExps, "model.layers.#.block_sparse_moe.experts.@.w3.weight"},
    CheckpointName{kFfnDownExps, "model.layers.#.block_sparse_moe.experts.@.w2.weight"},
};

inline constexpr std::array kSharedExpert = {
    CheckpointName{kSharedGateInp, "model.layers.#.mlp.shared_expert_gate.weight"},
    CheckpointName{kFfnGateShexp, "model.layers.#.mlp.shared_expert.gate_proj.weight"},
    CheckpointName{kFfnUpShexp, "model.layers.#.mlp.shared_expert.up_proj.weight"},
    CheckpointName{kFfnDownShexp, "model.layers.#.mlp.shared_expert.down_proj.weight"},
};
inline constexpr std::array kSharedExperts = {
    CheckpointName{kFfnGateShexp, "model.layers.#.mlp.shared_experts.gate_proj.weight"},
    CheckpointName{kFfnUpShexp, "model.layers.#.mlp.shared_experts.up_proj.weight"},
    CheckpointName{kFfnDownShexp, "model.layers.#.mlp.shared_experts.down_proj.weight"},
};
inline constexpr std::array kCorrectionBias = {
    CheckpointName{kChoiceBias, "model.layers.#.mlp.gate.e_score_correction_bias"},
};

// A norm whose weights are 1 + w.
constexpr CheckpointName NormLessOne(TensorRole role, std::string_view name) {
  return {role, name, {}, 0, StoredForm::kRows, StoredAs::kLessOne};
}

// Every layer is dense.
inline constexpr std::array kDenseKeys = {
    ConfigKey{"intermediate_size", &ModelConfig::dense_ffn_dim},
};
// A window that is switched off unless a key says otherwise.
inline constexpr std::array kSwitchedWindowKeys = {
    ConfigKey{"use_sliding_window", ConfigRule::kWindowSwitch},
    ConfigKey{"sliding_window", ConfigRule::kWindow, 4096},
};
inline constexpr std::array kWindowStartKeys = {
    ConfigKey{"max_window_layers", ConfigRule::kWindowStart, 28},
};
// A window that nothing here computes.
inline constexpr std::array kNoWindowKeys = {
    ConfigKey{"use_sliding_window", OnlyValue{"false"}},
    ConfigKey{"sliding_window", ConfigRule::kIgnored},
    ConfigKey{"max_window_layers", ConfigRule::kIgnored},
};
// Qwen's layers with routed experts, and dense ones among them.
inline constexpr std::array kQwenRoutedKeys = {
    ConfigKey{"num_experts", &ModelConfig::n_experts, std::nullopt, "num_local_experts"},
    ConfigKey{"num_experts_per_tok", &ModelConfig::top_k},
    ConfigKey{"moe_intermediate_size", &ModelConfig::ffn_dim},
    ConfigKey{"norm_topk_prob", &ModelConfig::norm_topk_prob, 0},
    ConfigKey{"intermediate_size", &ModelConfig::dense_ffn_dim, 0},
    ConfigKey{"mlp_only_layers", ConfigRule::kDenseLayers},
    ConfigKey{"decoder_sparse_step", ConfigRule::kSparseStep, 1},
};
// DeepSeek's layers, the first of them dense.
inline constexpr std::array kDeepSeekRoutedKeys = {
    ConfigKey{"n_routed_experts", &ModelConfig::n_experts, std::nullopt, "num_local_experts"},
    ConfigKey{"num_experts_per_tok", &ModelConfig::top_k},
    ConfigKey{"moe_intermediate_size", &ModelConfig::ffn_dim},
    ConfigKey{"intermediate_size", &ModelConfig::dense_ffn_dim, 0},
    ConfigKey{"n_shared_experts", ConfigRule::kSharedExperts},
    ConfigKey{"n_group", &ModelConfig::n_expert_groups, 1},
    ConfigKey{"topk_group", &ModelConfig::n_groups_used, 1},
    ConfigKey{"num_nextn_predict_layers", ConfigRule::kMoreLayers},
    ConfigKey{"moe_layer_freq", OnlyValue{"1"}},
    ConfigKey{"ep_size", ConfigRule::kIgnored},
};
// V3's routing, and that of models after it.
inline constexpr std::array kSigmoidRoutingKeys = {
    ConfigKey{"norm_topk_prob", &ModelConfig::norm_topk_prob, 1},
    ConfigKey{"scoring_func", OnlyValue{"'sigmoid'"}},
    ConfigKey{"topk_method", OnlyValue{"'noaux_tc'"}},
};
// Granite's four.
inline constexpr std::array kGraniteMultipliers = {
    ConfigKey{"embedding_multiplier", &ModelConfig::embedding_scale, 1},
    ConfigKey{"attention_multiplier", &ModelConfig::attention_scale, 1},
    ConfigKey{"residual_multiplier", &ModelConfig::residual_scale, 1},
    ConfigKey{"logits_scaling", &ModelConfig::logit_divisor, 1},
};
// A family whose files always say how many heads of k and v there are.
inline constexpr std::array kKvHeadsKeys = {
    ConfigKey{"num_key_value_heads", &ModelConfig::n_kv_heads},
};

}  // namespace shoal::checkpoint
