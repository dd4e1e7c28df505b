#include "model/families/checkpoint_tables.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors =
    Join(tensors::kDecoder, tensors::kRopeDivisors, tensors::kDense, tensors::kRouted);

constexpr auto kNames = Join(checkpoint::kDecoder, checkpoint::kDense);
constexpr auto kMixtralNames = Join(checkpoint::kDecoder, checkpoint::kW1W2W3);
constexpr auto kKeys =
    Join(checkpoint::kDenseKeys, std::array{ConfigKey{"rope_interleaved", OnlyValue{"false"}},
                                            ConfigKey{"is_llama_config", ConfigRule::kIgnored}});
constexpr ConfigKey kMixtralKeys[] = {
    {"num_key_value_heads", &ModelConfig::n_kv_heads},
    {"rms_norm_eps", &ModelConfig::rms_norm_eps, 1e-5},
    {"num_local_experts", &ModelConfig::n_experts, std::nullopt, "num_experts"},
    {"num_experts_per_tok", &ModelConfig::top_k},
    {"intermediate_size", &ModelConfig::ffn_dim},
    {"sliding_window", ConfigRule::kWindow},
    {"router_jitter_noise", ConfigRule::kIgnored},  // Of training.
};
constexpr auto kMistralKeys =
    Join(checkpoint::kDenseKeys, checkpoint::kKvHeadsKeys,
         std::array{ConfigKey{"sliding_window", ConfigRule::kWindow, 4096}});
// Their rows of q and k are as trained: halves turn.
constexpr CheckpointType kCheckpoints[] = {
    {.model_type = "llama", .tensors = kNames, .keys = kKeys},
    {.model_type = "mistral",
     .text_of = "mistral3",
     .window_period = kEveryLayer,
     .tensors = kNames,
     .keys = kMistralKeys},
    {.model_type = "mixtral",
     .rope_theta = 1e6,
     .window_period = kEveryLayer,
     .tensors = kMixtralNames,
     .keys = kMixtralKeys},
};

}  // namespace

// Llama 2 and 3, Mistral, Yi, SmolLM2 and, with experts, Mixtral. The converters reorder the rows
// of q and k, so adjacent pairs turn. A GGUF file of a windowed Mistral does not say its window:
// all of its layers see everything.
constinit const Family kLlama = {
    .architecture = "llama",
    .rope_pairing = RopePairing::kAdjacent,
    .norm_topk_prob = true,
    .tensors = kTensors,
    .checkpoints = kCheckpoints,
};

}  // namespace shoal
