#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = Join(tensors::kDecoder, tensors::kDense);

// q, k and v are one matrix: for each kv head its queries, its keys and its values.
constexpr char kWqkv[] = "model.layers.#.attention.wqkv.weight";
constexpr Segments kGroup = {Extent::kGroupQueries, Extent::kHeadDim, Extent::kHeadDim};
constexpr CheckpointName kNames[] = {
    {TensorRole::kTokenEmbd, "model.tok_embeddings.weight"},
    {TensorRole::kOutputNorm, "model.norm.weight"},
    {TensorRole::kOutput, "output.weight"},
    {TensorRole::kAttnNorm, "model.layers.#.attention_norm.weight"},
    {TensorRole::kAttnQ, kWqkv, kGroup, 0},
    {TensorRole::kAttnK, kWqkv, kGroup, 1},
    {TensorRole::kAttnV, kWqkv, kGroup, 2},
    {TensorRole::kAttnOutput, "model.layers.#.attention.wo.weight"},
    {TensorRole::kFfnNorm, "model.layers.#.ffn_norm.weight"},
    {TensorRole::kFfnGate, "model.layers.#.feed_forward.w1.weight"},
    {TensorRole::kFfnUp, "model.layers.#.feed_forward.w3.weight"},
    {TensorRole::kFfnDown, "model.layers.#.feed_forward.w2.weight"},
};
constexpr auto kKeys =
    Join(checkpoint::kDenseKeys, std::array{ConfigKey{"bias", OnlyValue{"false"}}});
constexpr CheckpointType kCheckpoints[] = {
    {.model_type = "internlm2", .tensors = kNames, .keys = kKeys}};

}  // namespace

// InternLM2: Llama with its q, k and v in one matrix, which the converters cut.
constinit const Family kInternLm2 = {
    .architecture = "internlm2",
    .rope_pairing = RopePairing::kAdjacent,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
