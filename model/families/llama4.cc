#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = Join(tensors::kDecoder, tensors::kRopeDivisors, tensors::kDense,
                               tensors::kRouted, tensors::kShared);

}  // namespace

// Llama 4, text: three layers of four see chunks of positions, the fourth has no rope and a
// temperature that grows with the position; an expert's weight, a sigmoid, multiplies what it
// takes. No key says the chunk and the temperature. The model of 128 experts has no norms of q and
// k.
constinit const Family kLlama4 = {
    .architecture = "llama4",
    .rope_pairing = RopePairing::kAdjacent,
    .qk_norm = QkNorm::kUnitAfterRope,
    .no_rope_period = 4,
    .chunk = 8192,
    .temperature_floor = 8192,
    .temperature_scale = 0.1F,
    .weighted_inputs = true,
    .n_experts_without_qk_norm = 128,
    .gating = Gating::kSigmoid,
    .tensors = kTensors,
};

}  // namespace shoal
