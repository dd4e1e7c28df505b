#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = Join(tensors::kLatentDecoder, tensors::kDense, tensors::kRouted,
                               tensors::kChoiceBiases, tensors::kShared);

}  // namespace

// DeepSeek-V2, V2-Lite, V3 and R1; Kimi-K2 and GLM-4.7-Flash, which are V3 with other numbers. V2
// is softmax without a bias.
constinit const Family kDeepSeek2 = {
    .architecture = "deepseek2",
    .rope_pairing = RopePairing::kAdjacent,
    .optional_shared = true,
    .yarn_scales_scores = true,
    .topk_norm_floor = 1e-20F,
    .tensors = kTensors,
};

}  // namespace shoal
