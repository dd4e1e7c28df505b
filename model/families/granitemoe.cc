#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = Join(tensors::kDecoder, tensors::kRouted, tensors::kShared);

constexpr auto kNames =
    Join(checkpoint::kDecoder,
         std::array{
             CheckpointName{TensorRole::kFfnGateInp,
                            "model.layers.#.block_sparse_moe.router.layer.weight"},
             CheckpointName{TensorRole::kFfnGateExps,
                            "model.layers.#.block_sparse_moe.input_linear.weight",
                            {Extent::kFfn, Extent::kFfn}},
             CheckpointName{TensorRole::kFfnUpExps,
                            "model.layers.#.block_sparse_moe.input_linear.weight",
                            {Extent::kFfn, Extent::kFfn},
                            1},
             CheckpointName{TensorRole::kFfnDownExps,
                            "model.layers.#.block_sparse_moe.output_linear.weight"},
         });
constexpr ConfigKey kKeys[] = {
    {"num_local_experts", &ModelConfig::n_experts},
    {"num_experts_per_tok", &ModelConfig::top_k},
    {"intermediate_size", &ModelConfig::ffn_dim},
    {"embedding_multiplier", &ModelConfig::embedding_scale, 1},
    {"attention_multiplier", &ModelConfig::attention_scale, 1},
    {"residual_multiplier", &ModelConfig::residual_scale, 1},
    {"logits_scaling", &ModelConfig::logit_divisor, 1},
};
constexpr CheckpointType kCheckpoints[] = {
    {.model_type = "granitemoe", .tensors = kNames, .keys = kKeys}};

}  // namespace

// Granite 3 MoE: four multipliers, which files state; softmax over the chosen experts only, which
// is renormalizing. With a shared expert in GraniteMoeShared.
constinit const Family kGraniteMoe = {
    .architecture = "granitemoe",
    .rope_pairing = RopePairing::kAdjacent,
    .norm_topk_prob = true,
    .optional_shared = true,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
