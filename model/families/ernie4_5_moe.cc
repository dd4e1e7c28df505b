#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = Join(tensors::kDecoder, tensors::kDense, tensors::kRouted,
                               tensors::kChoiceBiases, tensors::kShared);

}  // namespace

// ERNIE-4.5-MoE: experts are chosen by probabilities with a bias and weighed without it.
constinit const Family kErnie45Moe = {
    .architecture = "ernie4_5-moe",
    .rope_pairing = RopePairing::kAdjacent,
    .norm_topk_prob = true,
    .optional_shared = true,
    .tensors = kTensors,
};

}  // namespace shoal
