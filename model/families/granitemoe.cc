#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = tensors::Join(tensors::kDecoder, tensors::kRouted, tensors::kShared);

}  // namespace

// Granite 3 MoE: four multipliers, which files state; softmax over the chosen experts only, which
// is renormalizing. With a shared expert in GraniteMoeShared.
constinit const Family kGraniteMoe = {
    .architecture = "granitemoe",
    .rope_pairing = RopePairing::kAdjacent,
    .norm_topk_prob = true,
    .optional_shared = true,
    .tensors = kTensors,
};

}  // namespace shoal
