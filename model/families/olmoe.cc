#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = Join(tensors::kDecoder, tensors::kWholeNorms, tensors::kRouted);

constexpr auto kNames = Join(checkpoint::kDecoder, checkpoint::kQkNorms, checkpoint::kRouted);
constexpr ConfigKey kKeys[] = {
    {"rms_norm_eps", &ModelConfig::rms_norm_eps, 1e-5},
    {"num_experts", &ModelConfig::n_experts, std::nullopt, "num_local_experts"},
    {"num_experts_per_tok", &ModelConfig::top_k},
    {"intermediate_size", &ModelConfig::ffn_dim},
    {"norm_topk_prob", &ModelConfig::norm_topk_prob, 0},
    {"clip_qkv", OnlyValue{"null"}},
};
constexpr CheckpointType kCheckpoints[] = {
    {.model_type = "olmoe", .tensors = kNames, .keys = kKeys}};

}  // namespace

// OLMoE: norms over all of q and all of k; probabilities as they are.
constinit const Family kOlmoe = {
    .architecture = "olmoe",
    .rope_pairing = RopePairing::kHalf,
    .qk_norm = QkNorm::kWhole,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
