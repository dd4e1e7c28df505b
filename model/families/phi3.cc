#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = Join(tensors::kDecoder, tensors::kLongRope, tensors::kDense);

constexpr char kQkv[] = "model.layers.#.self_attn.qkv_proj.weight";
constexpr Segments kQkvRows = {Extent::kQueries, Extent::kKeys, Extent::kKeys};
constexpr char kGateUp[] = "model.layers.#.mlp.gate_up_proj.weight";
constexpr Segments kGateUpRows = {Extent::kDenseFfn, Extent::kDenseFfn};
constexpr CheckpointName kNames[] = {
    {TensorRole::kTokenEmbd, "model.embed_tokens.weight"},
    {TensorRole::kOutputNorm, "model.norm.weight"},
    {TensorRole::kOutput, "lm_head.weight"},
    {TensorRole::kAttnNorm, "model.layers.#.input_layernorm.weight"},
    {TensorRole::kAttnQ, kQkv, kQkvRows, 0},
    {TensorRole::kAttnK, kQkv, kQkvRows, 1},
    {TensorRole::kAttnV, kQkv, kQkvRows, 2},
    {TensorRole::kAttnOutput, "model.layers.#.self_attn.o_proj.weight"},
    {TensorRole::kFfnNorm, "model.layers.#.post_attention_layernorm.weight"},
    {TensorRole::kFfnGate, kGateUp, kGateUpRows, 0},
    {TensorRole::kFfnUp, kGateUp, kGateUpRows, 1},
    {TensorRole::kFfnDown, "model.layers.#.mlp.down_proj.weight"},
};
constexpr ConfigKey kKeys[] = {
    {"rms_norm_eps", &ModelConfig::rms_norm_eps, 1e-5},
    {"intermediate_size", &ModelConfig::dense_ffn_dim},
    {"sliding_window", ConfigRule::kWindow},
    {"lm_head_bias", OnlyValue{"false"}},
    {"full_attn_mod", OnlyValue{"1"}},
    {"interpolate_factor", OnlyValue{"1"}},
};
constexpr CheckpointType kCheckpoints[] = {
    {.model_type = "phi3", .partial_rotary = 1, .tensors = kNames, .keys = kKeys}};

}  // namespace

// Phi-3, 3.5 and 4-mini: q, k and v in one tensor, gate and up in another; two lists of divisors
// for rope in models for long contexts; a window in models for short ones.
constinit const Family kPhi3 = {
    .architecture = "phi3",
    .rope_pairing = RopePairing::kHalf,
    .window_period = kEveryLayer,
    .tensors = kTensors,
    .fused = tensors::kFused,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
