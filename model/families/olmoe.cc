#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = tensors::Join(tensors::kDecoder, tensors::kWholeNorms, tensors::kRouted);

}  // namespace

// OLMoE: norms over all of q and all of k; probabilities as they are.
constinit const Family kOlmoe = {
    .architecture = "olmoe",
    .rope_pairing = RopePairing::kHalf,
    .qk_norm = QkNorm::kWhole,
    .tensors = kTensors,
};

}  // namespace shoal
