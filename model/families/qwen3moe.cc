#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors =
    Join(tensors::kDecoder, tensors::kHeadNorms, tensors::kDense, tensors::kRouted);

constexpr auto kNames =
    Join(checkpoint::kDecoder, checkpoint::kQkNorms, checkpoint::kDense, checkpoint::kRouted);
constexpr auto kKeys =
    Join(checkpoint::kQwenRoutedKeys, checkpoint::kKvHeadsKeys, checkpoint::kSwitchedWindowKeys,
         std::array{ConfigKey{"max_window_layers", ConfigRule::kIgnored}});
constexpr CheckpointType kCheckpoints[] = {
    {.model_type = "qwen3_moe", .window_period = kEveryLayer, .tensors = kNames, .keys = kKeys}};

}  // namespace

// Qwen3-MoE: softmax over all experts, the best top_k of them renormalized; no file says so.
constinit const Family kQwen3Moe = {
    .architecture = "qwen3moe",
    .rope_pairing = RopePairing::kHalf,
    .qk_norm = QkNorm::kHead,
    .norm_topk_prob = true,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
