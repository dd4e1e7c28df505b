#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = Join(tensors::kDecoder, tensors::kQkvBiases, tensors::kDense,
                               tensors::kRouted, tensors::kShared, tensors::kSharedGate);

constexpr auto kNames = Join(checkpoint::kDecoder, checkpoint::kQkvBiases, checkpoint::kDense,
                             checkpoint::kRouted, checkpoint::kSharedExpert);
constexpr auto kKeys =
    Join(checkpoint::kQwenRoutedKeys, checkpoint::kKvHeadsKeys, checkpoint::kNoWindowKeys,
         std::array{ConfigKey{"shared_expert_intermediate_size", &ModelConfig::shared_ffn_dim},
                    ConfigKey{"qkv_bias", OnlyValue{"true"}}});
constexpr CheckpointType kCheckpoints[] = {
    {.model_type = "qwen2_moe", .tensors = kNames, .keys = kKeys}};

}  // namespace

// Qwen2-MoE and Qwen1.5-MoE: probabilities as they are, and a shared expert with a gate of its own.
constinit const Family kQwen2Moe = {
    .architecture = "qwen2moe",
    .rope_pairing = RopePairing::kHalf,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
