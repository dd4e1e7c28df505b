#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = Join(tensors::kDecoder, tensors::kHeadNorms, tensors::kDense);

constexpr auto kNames = Join(checkpoint::kDecoder, checkpoint::kQkNorms, checkpoint::kDense);
constexpr auto kKeys = Join(checkpoint::kDenseKeys, checkpoint::kKvHeadsKeys,
                            checkpoint::kSwitchedWindowKeys, checkpoint::kWindowStartKeys,
                            std::array{ConfigKey{"head_dim", &ModelConfig::head_dim, 128}});
constexpr CheckpointType kCheckpoints[] = {
    {.model_type = "qwen3", .window_period = kEveryLayer, .tensors = kNames, .keys = kKeys}};

}  // namespace

// Qwen3, dense.
constinit const Family kQwen3 = {
    .architecture = "qwen3",
    .rope_pairing = RopePairing::kHalf,
    .qk_norm = QkNorm::kHead,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
