#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = Join(tensors::kDecoder, tensors::kRopeDivisors, tensors::kDense,
                               tensors::kRouted, tensors::kShared);

constexpr char kGateUp[] = "model.layers.#.feed_forward.experts.gate_up_proj";
constexpr Segments kHalves = {Extent::kFfn, Extent::kFfn};
constexpr auto kNames =
    Join(checkpoint::kDecoder,
         std::array{
             CheckpointName{TensorRole::kFfnGate, "model.layers.#.feed_forward.gate_proj.weight"},
             CheckpointName{TensorRole::kFfnUp, "model.layers.#.feed_forward.up_proj.weight"},
             CheckpointName{TensorRole::kFfnDown, "model.layers.#.feed_forward.down_proj.weight"},
             CheckpointName{TensorRole::kFfnGateInp, "model.layers.#.feed_forward.router.weight"},
             CheckpointName{TensorRole::kFfnGateExps, kGateUp, kHalves, 0, StoredForm::kTransposed},
             CheckpointName{TensorRole::kFfnUpExps, kGateUp, kHalves, 1, StoredForm::kTransposed},
             CheckpointName{TensorRole::kFfnDownExps,
                            "model.layers.#.feed_forward.experts.down_proj",
                            {},
                            0,
                            StoredForm::kTransposed},
             CheckpointName{TensorRole::kFfnGateShexp,
                            "model.layers.#.feed_forward.shared_expert.gate_proj.weight"},
             CheckpointName{TensorRole::kFfnUpShexp,
                            "model.layers.#.feed_forward.shared_expert.up_proj.weight"},
             CheckpointName{TensorRole::kFfnDownShexp,
                            "model.layers.#.feed_forward.shared_expert.down_proj.weight"},
         });
constexpr ConfigKey kKeys[] = {
    {"num_hidden_layers", &ModelConfig::n_layers, 48},
    {"hidden_size", &ModelConfig::hidden_dim, 5120},
    {"num_attention_heads", &ModelConfig::n_heads, 40},
    {"num_key_value_heads", &ModelConfig::n_kv_heads, 8},
    {"head_dim", &ModelConfig::head_dim, 128},
    {"vocab_size", &ModelConfig::vocab_size, 202048},
    {"rms_norm_eps", &ModelConfig::rms_norm_eps, 1e-5},
    {"num_local_experts", &ModelConfig::n_experts, 16, "num_experts"},
    {"num_experts_per_tok", &ModelConfig::top_k, 1},
    {"intermediate_size", &ModelConfig::ffn_dim, 8192},
    {"intermediate_size", &ModelConfig::shared_ffn_dim, 8192},
    {"intermediate_size_mlp", &ModelConfig::dense_ffn_dim, 16384},
    {"interleave_moe_layer_step", ConfigRule::kSparseStep, 1},
    {"moe_layers", ConfigRule::kRoutedLayers},
    {"no_rope_layers", ConfigRule::kRopeLayers},
    {"no_rope_layer_interval", ConfigRule::kNoRopePeriod},
    {"attention_chunk_size", ConfigRule::kChunk, 8192},
    {"floor_scale", &ModelConfig::temperature_floor, 8192},
    {"attn_scale", &ModelConfig::temperature_scale, 0.1},
    {"attn_temperature_tuning", ConfigRule::kTemperature},
    {"use_qk_norm", ConfigRule::kHeadNorms, 1},
    {"router_jitter_noise", ConfigRule::kIgnored},  // Of training.
    {"for_llm_compressor", ConfigRule::kIgnored},
};
constexpr CheckpointType kCheckpoints[] = {{.model_type = "llama4_text",
                                            .text_of = "llama4",
                                            .rope_pairing = RopePairing::kAdjacent,
                                            .rope_theta = 500000,
                                            .context_length = 131072,
                                            .gating = Gating::kSigmoid,
                                            .tensors = kNames,
                                            .keys = kKeys}};

}  // namespace

// Llama 4, text: three layers of four see chunks of positions, the fourth has no rope and a
// temperature that grows with the position; an expert's weight, a sigmoid, multiplies what it
// takes. No key of GGUF says the chunk and the temperature. The model of 128 experts has no norms
// of q and k.
constinit const Family kLlama4 = {
    .architecture = "llama4",
    .rope_pairing = RopePairing::kAdjacent,
    .qk_norm = QkNorm::kUnitAfterRope,
    .no_rope_period = 4,
    .chunk = 8192,
    .temperature_floor = 8192,
    .temperature_scale = 0.1F,
    .weighted_inputs = true,
    .n_experts_without_qk_norm = 128,
    .gating = Gating::kSigmoid,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
