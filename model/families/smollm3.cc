#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = Join(tensors::kDecoder, tensors::kRopeDivisors, tensors::kDense);

constexpr auto kNames = Join(checkpoint::kDecoder, checkpoint::kDense);
constexpr auto kKeys =
    Join(checkpoint::kDenseKeys, checkpoint::kNoWindowKeys,
         std::array{ConfigKey{"num_key_value_heads", &ModelConfig::n_kv_heads, 4},
                    ConfigKey{"tie_word_embeddings", &ModelConfig::tied_embeddings, 1},
                    ConfigKey{"no_rope_layers", ConfigRule::kRopeLayers},
                    ConfigKey{"no_rope_layer_interval", ConfigRule::kNoRopePeriod}});
constexpr CheckpointType kCheckpoints[] = {
    {.model_type = "smollm3", .rope_theta = 2e6, .tensors = kNames, .keys = kKeys}};

}  // namespace

// SmolLM3: Llama whose every fourth layer has no rope, which files of GGUF do not say.
constinit const Family kSmolLm3 = {
    .architecture = "smollm3",
    .rope_pairing = RopePairing::kAdjacent,
    .no_rope_period = 4,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
