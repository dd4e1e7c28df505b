#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = Join(tensors::kDecoder, tensors::kDense, tensors::kRouted,
                               tensors::kChoiceBiases, tensors::kShared);

constexpr auto kNames =
    Join(checkpoint::kDecoder, checkpoint::kDense, checkpoint::kRouted, checkpoint::kSharedExperts,
         std::array{CheckpointName{TensorRole::kChoiceBias,
                                   "model.layers.#.mlp.moe_statics.e_score_correction_bias"}});
constexpr ConfigKey kKeys[] = {
    {"rms_norm_eps", &ModelConfig::rms_norm_eps, 1e-5},
    {"tie_word_embeddings", &ModelConfig::tied_embeddings, 1},
    {"num_key_value_heads", &ModelConfig::n_kv_heads},
    {"moe_num_experts", &ModelConfig::n_experts, std::nullopt, "num_experts"},
    {"moe_k", &ModelConfig::top_k, std::nullopt, "num_experts_per_tok"},
    {"moe_intermediate_size", &ModelConfig::ffn_dim},
    {"intermediate_size", &ModelConfig::dense_ffn_dim, 0},
    {"moe_num_shared_experts", ConfigRule::kSharedExperts},
    {"moe_layer_start_index", ConfigRule::kLeadingDense, 1},
    {"moe_layer_end_index", ConfigRule::kLastRouted},
    {"moe_layer_interval", ConfigRule::kSparseStep, 1},
    {"use_bias", OnlyValue{"false"}},
    {"moe_capacity", ConfigRule::kIgnored},      // Of training.
    {"moe_norm_min", ConfigRule::kIgnored},      // A sum of probabilities below 1e-12.
    {"moe_use_aux_free", ConfigRule::kIgnored},  // The bias is there either way.
};
constexpr CheckpointType kCheckpoints[] = {{.model_type = "ernie4_5_moe",
                                            .rope_pairing = RopePairing::kAdjacent,
                                            .rope_theta = 500000,
                                            .tensors = kNames,
                                            .keys = kKeys}};

}  // namespace

// ERNIE-4.5-MoE: experts are chosen by probabilities with a bias and weighed without it.
constinit const Family kErnie45Moe = {
    .architecture = "ernie4_5-moe",
    .rope_pairing = RopePairing::kAdjacent,
    .norm_topk_prob = true,
    .optional_shared = true,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
