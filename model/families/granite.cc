#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = Join(tensors::kDecoder, tensors::kDense);

constexpr auto kNames = Join(checkpoint::kDecoder, checkpoint::kDense);
constexpr auto kKeys = Join(checkpoint::kDenseKeys, checkpoint::kGraniteMultipliers);
constexpr CheckpointType kCheckpoints[] = {
    {.model_type = "granite", .tensors = kNames, .keys = kKeys}};

}  // namespace

// Granite 3, dense: Llama with four multipliers, which files state.
constinit const Family kGranite = {
    .architecture = "granite",
    .rope_pairing = RopePairing::kAdjacent,
    .optional_rope = true,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
