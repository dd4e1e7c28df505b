#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors =
    Join(tensors::With(tensors::kDecoder, tensors::kFfnNormAfterAttention),
         tensors::Optional(tensors::kHeadNorms), tensors::Optional(tensors::kQkvBiases),
         tensors::kDense, tensors::kRouted, tensors::kChoiceBiases, tensors::kShared);

}  // namespace

// GLM-4.5-MoE: DeepSeek-V3's routing; norms of heads and biases in some models only.
constinit const Family kGlm4Moe = {
    .architecture = "glm4moe",
    .rope_pairing = RopePairing::kHalf,
    .qk_norm = QkNorm::kHead,
    .norm_topk_prob = true,
    .gating = Gating::kSigmoid,
    .topk_norm_floor = 1e-20F,
    .tensors = kTensors,
};

}  // namespace shoal
