#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors =
    tensors::Join(tensors::kDecoder, tensors::kRopeDivisors, tensors::kDense, tensors::kRouted);

}  // namespace

// Llama 2 and 3, Mistral, Yi, SmolLM2 and, with experts, Mixtral. The converters reorder the rows
// of q and k, so adjacent pairs turn. A GGUF file of a windowed Mistral does not say its window:
// all of its layers see everything.
constinit const Family kLlama = {
    .architecture = "llama",
    .rope_pairing = RopePairing::kAdjacent,
    .norm_topk_prob = true,
    .tensors = kTensors,
};

}  // namespace shoal
