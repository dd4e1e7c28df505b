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
constexpr auto kKeys = Join(checkpoint::kGraniteMultipliers,
                            std::array{ConfigKey{"num_local_experts", &ModelConfig::n_experts},
                                       ConfigKey{"num_experts_per_tok", &ModelConfig::top_k},
                                       ConfigKey{"intermediate_size", &ModelConfig::ffn_dim}});
constexpr char kSharedInput[] = "model.layers.#.shared_mlp.input_linear.weight";
constexpr Segments kSharedHalves = {Extent::kSharedFfn, Extent::kSharedFfn};
constexpr auto kSharedNames = Join(
    kNames,
    std::array{
        CheckpointName{TensorRole::kFfnGateShexp, kSharedInput, kSharedHalves, 0},
        CheckpointName{TensorRole::kFfnUpShexp, kSharedInput, kSharedHalves, 1},
        CheckpointName{TensorRole::kFfnDownShexp, "model.layers.#.shared_mlp.output_linear.weight"},
    });
constexpr auto kSharedKeys =
    Join(kKeys, std::array{ConfigKey{"shared_intermediate_size", &ModelConfig::shared_ffn_dim, 0}});
constexpr CheckpointType kCheckpoints[] = {
    {.model_type = "granitemoe", .tensors = kNames, .keys = kKeys},
    {.model_type = "granitemoeshared", .tensors = kSharedNames, .keys = kSharedKeys}};

}  // namespace

// Granite 3 MoE: four multipliers, which files state; softmax over the chosen experts only, which
// is renormalizing. With a shared expert in GraniteMoeShared.
constinit const Family kGraniteMoe = {
    .architecture = "granitemoe",
    .rope_pairing = RopePairing::kAdjacent,
    .norm_topk_prob = true,
    .optional_shared = true,
    .optional_rope = true,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
