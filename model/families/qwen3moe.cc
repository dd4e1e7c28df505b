#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = tensors::Join(tensors::kDecoder, tensors::kHeadNorms, tensors::kRouted);

}  // namespace

// Qwen3-MoE: softmax over all experts, the best top_k of them renormalized; no file says so.
constinit const Family kQwen3Moe = {
    .architecture = "qwen3moe",
    .rope_pairing = RopePairing::kHalf,
    .qk_norm = QkNorm::kHead,
    .norm_topk_prob = true,
    .tensors = kTensors,
};

}  // namespace shoal
