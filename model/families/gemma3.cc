#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors =
    Join(tensors::kDecoder, tensors::kHeadNorms, tensors::kPostNorms, tensors::kDense);

constexpr CheckpointName kNames[] = {
    {TensorRole::kTokenEmbd, "model.embed_tokens.weight"},
    checkpoint::NormLessOne(TensorRole::kOutputNorm, "model.norm.weight"),
    {TensorRole::kOutput, "lm_head.weight"},
    checkpoint::NormLessOne(TensorRole::kAttnNorm, "model.layers.#.input_layernorm.weight"),
    {TensorRole::kAttnQ, "model.layers.#.self_attn.q_proj.weight"},
    {TensorRole::kAttnK, "model.layers.#.self_attn.k_proj.weight"},
    {TensorRole::kAttnV, "model.layers.#.self_attn.v_proj.weight"},
    {TensorRole::kAttnOutput, "model.layers.#.self_attn.o_proj.weight"},
    checkpoint::NormLessOne(TensorRole::kAttnQNorm, "model.layers.#.self_attn.q_norm.weight"),
    checkpoint::NormLessOne(TensorRole::kAttnKNorm, "model.layers.#.self_attn.k_norm.weight"),
    checkpoint::NormLessOne(TensorRole::kAttnPostNorm,
                            "model.layers.#.post_attention_layernorm.weight"),
    checkpoint::NormLessOne(TensorRole::kFfnNorm,
                            "model.layers.#.pre_feedforward_layernorm.weight"),
    checkpoint::NormLessOne(TensorRole::kFfnPostNorm,
                            "model.layers.#.post_feedforward_layernorm.weight"),
    {TensorRole::kFfnGate, "model.layers.#.mlp.gate_proj.weight"},
    {TensorRole::kFfnUp, "model.layers.#.mlp.up_proj.weight"},
    {TensorRole::kFfnDown, "model.layers.#.mlp.down_proj.weight"},
};
constexpr ConfigKey kKeys[] = {
    {"num_attention_heads", &ModelConfig::n_heads, 8},
    {"num_key_value_heads", &ModelConfig::n_kv_heads, 4},
    {"vocab_size", &ModelConfig::vocab_size, 262208},
    {"head_dim", &ModelConfig::head_dim, 256},
    {"tie_word_embeddings", &ModelConfig::tied_embeddings, 1},
    {"intermediate_size", &ModelConfig::dense_ffn_dim},
    {"hidden_act", ConfigRule::kIgnored},  // The next counts.
    {"hidden_activation", OnlyValue{"'gelu_pytorch_tanh'"}},
    {"query_pre_attn_scalar", ConfigRule::kAttentionScalar, 256},
    {"attn_logit_softcapping", OnlyValue{"null"}},
    {"final_logit_softcapping", OnlyValue{"null"}},
    {"use_bidirectional_attention", OnlyValue{"false"}},
    {"rope_local_base_freq", ConfigRule::kLocalTheta, 10000},
    {"sliding_window", ConfigRule::kWindow, 4096},
    {"sliding_window_pattern", ConfigRule::kWindowPeriod, std::nullopt, "_sliding_window_pattern"},
};
constexpr CheckpointType kCheckpoints[] = {{.model_type = "gemma3_text",
                                            .text_of = "gemma3",
                                            .rope_theta = 1e6,
                                            .context_length = 131072,
                                            .tensors = kNames,
                                            .keys = kKeys}};

}  // namespace

// Gemma 3, text: norms of what blocks give beside those of what they take, GELU, and five layers of
// six with a window and angles of their own. Files have the 1 of its norms' 1 + w added. The one of
// 27 billion weights scales scores by another number than its head_dim, and no key says so.
constinit const Family kGemma3 = {
    .architecture = "gemma3",
    .rope_pairing = RopePairing::kHalf,
    .qk_norm = QkNorm::kHead,
    .window_period = 6,
    .local_rope_theta = 10000,
    .activation = Activation::kGelu,
    .scaled_embeddings = true,
    .n_layers_scaled_by_width = 62,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
