#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = Join(tensors::kDecoder, tensors::kQkvBiases, tensors::kDense);

constexpr auto kNames = Join(checkpoint::kDecoder, checkpoint::kQkvBiases, checkpoint::kDense);
constexpr auto kKeys = Join(checkpoint::kDenseKeys, checkpoint::kKvHeadsKeys,
                            checkpoint::kSwitchedWindowKeys, checkpoint::kWindowStartKeys);
constexpr CheckpointType kCheckpoints[] = {
    {.model_type = "qwen2", .window_period = kEveryLayer, .tensors = kNames, .keys = kKeys}};

}  // namespace

// Qwen2 and Qwen2.5, dense: biases on q, k and v.
constinit const Family kQwen2 = {
    .architecture = "qwen2",
    .rope_pairing = RopePairing::kHalf,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
