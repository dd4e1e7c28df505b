#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = tensors::Join(tensors::kDecoder, tensors::kHeadNorms, tensors::kDense);

}  // namespace

// Qwen3, dense.
constinit const Family kQwen3 = {
    .architecture = "qwen3",
    .rope_pairing = RopePairing::kHalf,
    .qk_norm = QkNorm::kHead,
    .tensors = kTensors,
};

}  // namespace shoal
