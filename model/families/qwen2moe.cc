#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = tensors::Join(tensors::kDecoder, tensors::kQkvBiases, tensors::kRouted,
                                        tensors::kShared, tensors::kSharedGate);

}  // namespace

// Qwen2-MoE and Qwen1.5-MoE: probabilities as they are, and a shared expert with a gate of its own.
constinit const Family kQwen2Moe = {
    .architecture = "qwen2moe",
    .rope_pairing = RopePairing::kHalf,
    .tensors = kTensors,
};

}  // namespace shoal
