#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = tensors::Join(tensors::kDecoder, tensors::kQkvBiases, tensors::kDense);

}  // namespace

// Qwen2 and Qwen2.5, dense: biases on q, k and v.
constinit const Family kQwen2 = {
    .architecture = "qwen2",
    .rope_pairing = RopePairing::kHalf,
    .tensors = kTensors,
};

}  // namespace shoal
