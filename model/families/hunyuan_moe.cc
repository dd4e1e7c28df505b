#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors =
    tensors::Join(tensors::kDecoder, tensors::kHeadNorms, tensors::kRouted, tensors::kShared);

}  // namespace

// Hunyuan-MoE: heads are normed after rope; a shared expert without a gate.
constinit const Family kHunyuanMoe = {
    .architecture = "hunyuan-moe",
    .rope_pairing = RopePairing::kHalf,
    .qk_norm = QkNorm::kHeadAfterRope,
    .norm_topk_prob = true,
    .tensors = kTensors,
};

}  // namespace shoal
