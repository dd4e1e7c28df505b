#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = Join(tensors::kDecoder, tensors::kLongRope, tensors::kDense);

}  // namespace

// Phi-3, 3.5 and 4-mini: q, k and v in one tensor, gate and up in another; two lists of divisors
// for rope in models for long contexts; a window in models for short ones.
constinit const Family kPhi3 = {
    .architecture = "phi3",
    .rope_pairing = RopePairing::kHalf,
    .window_period = kEveryLayer,
    .tensors = kTensors,
    .fused = tensors::kFused,
};

}  // namespace shoal
