#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = Join(
    tensors::Renamed(tensors::kDecoder, TensorRole::kFfnNorm, "blk.#.post_attention_norm.weight"),
    tensors::kQkvBiases, tensors::kOutputProjectionBias, tensors::kSinks, tensors::kRouted,
    tensors::kRoutedBiases);

// Rows of gate and up stand in turns.
constexpr char kGateUp[] = "model.layers.#.mlp.experts.gate_up_proj";
constexpr char kGateUpBias[] = "model.layers.#.mlp.experts.gate_up_proj_bias";
constexpr Segments kTurns = {Extent::kOne, Extent::kOne};
constexpr auto kNames = Join(
    checkpoint::kDecoder, checkpoint::kQkvBiases,
    std::array{
        CheckpointName{TensorRole::kAttnOutputBias, "model.layers.#.self_attn.o_proj.bias"},
        CheckpointName{TensorRole::kAttnSinks, "model.layers.#.self_attn.sinks"},
        CheckpointName{TensorRole::kFfnGateInp, "model.layers.#.mlp.router.weight"},
        CheckpointName{TensorRole::kFfnGateInpBias, "model.layers.#.mlp.router.bias"},
        CheckpointName{TensorRole::kFfnGateExps, kGateUp, kTurns, 0, StoredForm::kTransposed},
        CheckpointName{TensorRole::kFfnUpExps, kGateUp, kTurns, 1, StoredForm::kTransposed},
        CheckpointName{TensorRole::kFfnDownExps,
                       "model.layers.#.mlp.experts.down_proj",
                       {},
                       0,
                       StoredForm::kTransposed},
        CheckpointName{TensorRole::kFfnGateExpsBias, kGateUpBias, kTurns, 0, StoredForm::kElements},
        CheckpointName{TensorRole::kFfnUpExpsBias, kGateUpBias, kTurns, 1, StoredForm::kElements},
        CheckpointName{TensorRole::kFfnDownExpsBias, "model.layers.#.mlp.experts.down_proj_bias"},
    });
constexpr ConfigKey kKeys[] = {
    {"num_key_value_heads", &ModelConfig::n_kv_heads},
    {"head_dim", &ModelConfig::head_dim, 64},
    {"rms_norm_eps", &ModelConfig::rms_norm_eps, 1e-5},
    {"num_local_experts", &ModelConfig::n_experts, std::nullopt, "num_experts"},
    {"num_experts_per_tok", &ModelConfig::top_k, std::nullopt, "experts_per_token"},
    {"intermediate_size", &ModelConfig::ffn_dim},
    {"swiglu_limit", &ModelConfig::swiglu_limit, 7},
    {"attention_bias", OnlyValue{"true"}},
    {"sliding_window", ConfigRule::kWindow, 128},
    {"initial_context_length", ConfigRule::kIgnored},
};
constexpr CheckpointType kCheckpoints[] = {{.model_type = "gpt_oss",
                                            .rope_theta = 150000,
                                            .rope_required = true,
                                            .tensors = kNames,
                                            .keys = kKeys}};

}  // namespace

// gpt-oss: sinks, a window on every other layer, biases everywhere, a clamped SwiGLU, and YaRN
// whose ramp is not rounded; softmax over the chosen experts only, which is renormalizing.
constinit const Family kGptOss = {
    .architecture = "gpt-oss",
    .rope_pairing = RopePairing::kHalf,
    .norm_topk_prob = true,
    .window_period = 2,
    .yarn_truncates = false,
    .activation = Activation::kClampedSilu,
    .swiglu_alpha = 1.702F,
    .swiglu_limit = 7,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
