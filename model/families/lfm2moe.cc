#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr TensorSpec kOutputNorm = {
    TensorRole::kOutputNorm, "token_embd_norm.weight", {Extent::kHidden}, /*f32_only=*/true};

constexpr auto kTensors =
    Join(tensors::With(tensors::kDecoder, kOutputNorm), tensors::kHeadNorms,
         tensors::kShortConvolution, tensors::kDense, tensors::kRouted, tensors::kChoiceBiases);

}  // namespace

// LFM2-MoE: short convolutions in most layers; a layer without kv heads is one.
constinit const Family kLfm2Moe = {
    .architecture = "lfm2moe",
    .rope_pairing = RopePairing::kHalf,
    .qk_norm = QkNorm::kHead,
    .norm_topk_prob = true,
    .gating = Gating::kSigmoid,
    .topk_norm_floor = 1e-6F,
    .tensors = kTensors,
};

}  // namespace shoal
