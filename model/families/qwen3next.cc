#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr TensorSpec kAttnQ = {
    TensorRole::kAttnQ, "blk.#.attn_q.weight", {Extent::kGatedQueries, Extent::kHidden}};

constexpr auto kTensors =
    Join(tensors::With(tensors::With(tensors::kDecoder, kAttnQ), tensors::kFfnNormAfterAttention),
         tensors::kHeadNorms, tensors::kDeltaRule, tensors::kDense, tensors::kRouted,
         tensors::kShared, tensors::kSharedGate);

// For each key head its q, its k, and the v and z of the value heads that share it.
constexpr char kQkvz[] = "model.layers.#.linear_attn.in_proj_qkvz.weight";
constexpr Segments kKeyHead = {Extent::kDeltaKey, Extent::kDeltaKey, Extent::kDeltaGroupValues,
                               Extent::kDeltaGroupValues};
constexpr auto kNames = Join(
    checkpoint::kDense, checkpoint::kRouted, checkpoint::kSharedExpert,
    std::array{
        CheckpointName{TensorRole::kTokenEmbd, "model.embed_tokens.weight"},
        checkpoint::NormLessOne(TensorRole::kOutputNorm, "model.norm.weight"),
        CheckpointName{TensorRole::kOutput, "lm_head.weight"},
        checkpoint::NormLessOne(TensorRole::kAttnNorm, "model.layers.#.input_layernorm.weight"),
        CheckpointName{TensorRole::kAttnQ, "model.layers.#.self_attn.q_proj.weight"},
        CheckpointName{TensorRole::kAttnK, "model.layers.#.self_attn.k_proj.weight"},
        CheckpointName{TensorRole::kAttnV, "model.layers.#.self_attn.v_proj.weight"},
        CheckpointName{TensorRole::kAttnOutput, "model.layers.#.self_attn.o_proj.weight"},
        checkpoint::NormLessOne(TensorRole::kAttnQNorm, "model.layers.#.self_attn.q_norm.weight"),
        checkpoint::NormLessOne(TensorRole::kAttnKNorm, "model.layers.#.self_attn.k_norm.weight"),
        checkpoint::NormLessOne(TensorRole::kFfnNorm,
                                "model.layers.#.post_attention_layernorm.weight"),
        CheckpointName{TensorRole::kDeltaQkv, kQkvz, kKeyHead, 0},
        CheckpointName{TensorRole::kDeltaQkv, kQkvz, kKeyHead, 1},
        CheckpointName{TensorRole::kDeltaQkv, kQkvz, kKeyHead, 2},
        CheckpointName{TensorRole::kDeltaGate, kQkvz, kKeyHead, 3},
        CheckpointName{TensorRole::kDeltaBa, "model.layers.#.linear_attn.in_proj_ba.weight"},
        CheckpointName{TensorRole::kDeltaConv, "model.layers.#.linear_attn.conv1d.weight"},
        CheckpointName{TensorRole::kDeltaA,
                       "model.layers.#.linear_attn.A_log",
                       {},
                       0,
                       StoredForm::kRows,
                       StoredAs::kLogOfNegated},
        CheckpointName{TensorRole::kDeltaDtBias, "model.layers.#.linear_attn.dt_bias"},
        CheckpointName{TensorRole::kDeltaNorm, "model.layers.#.linear_attn.norm.weight"},
        CheckpointName{TensorRole::kDeltaOut, "model.layers.#.linear_attn.out_proj.weight"},
    });
constexpr ConfigKey kKeys[] = {
    {"num_key_value_heads", &ModelConfig::n_kv_heads},
    {"head_dim", &ModelConfig::head_dim, 256},
    {"num_experts", &ModelConfig::n_experts, std::nullopt, "num_local_experts"},
    {"num_experts_per_tok", &ModelConfig::top_k},
    {"moe_intermediate_size", &ModelConfig::ffn_dim},
    {"shared_expert_intermediate_size", &ModelConfig::shared_ffn_dim},
    {"intermediate_size", &ModelConfig::dense_ffn_dim, 0},
    {"norm_topk_prob", &ModelConfig::norm_topk_prob, 1},
    {"mlp_only_layers", ConfigRule::kDenseLayers},
    {"decoder_sparse_step", ConfigRule::kSparseStep, 1},
    {"linear_conv_kernel_dim", &ModelConfig::conv_kernel, 4},
    {"linear_key_head_dim", &ModelConfig::delta_key_dim, 128},
    {"linear_value_head_dim", &ModelConfig::delta_value_dim, 128},
    {"linear_num_key_heads", &ModelConfig::delta_key_heads, 16},
    {"linear_num_value_heads", &ModelConfig::delta_value_heads, 32},
    {"full_attention_interval", ConfigRule::kDeltaInterval, 4},
};
constexpr CheckpointType kCheckpoints[] = {{.model_type = "qwen3_next",
                                            .partial_rotary = 0.25,
                                            .unused_tensors = "mtp.",
                                            .tensors = kNames,
                                            .keys = kKeys}};

}  // namespace

// Qwen3-Next: the gated delta rule in all layers but every full_attention_interval-th, whose
// attention has a gate.
constinit const Family kQwen3Next = {
    .architecture = "qwen3next",
    .rope_pairing = RopePairing::kHalf,
    .qk_norm = QkNorm::kHead,
    .norm_topk_prob = true,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
