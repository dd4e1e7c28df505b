#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = tensors::Join(tensors::kDecoder, tensors::kDense);

}  // namespace

// InternLM2: Llama with its q, k and v in one matrix, which the converters cut.
constinit const Family kInternLm2 = {
    .architecture = "internlm2",
    .rope_pairing = RopePairing::kAdjacent,
    .tensors = kTensors,
};

}  // namespace shoal
