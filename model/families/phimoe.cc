#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr std::array kHeadBias = {
    TensorSpec{TensorRole::kOutputBias, "output.bias", {Extent::kVocab}, /*f32_only=*/true},
};

constexpr auto kTensors =
    Join(tensors::kDecoder, tensors::kLayerNormBiases, tensors::kLongRope, tensors::kRouted,
         tensors::Optional(Join(tensors::kQkvBiases, tensors::kOutputProjectionBias, kHeadBias)));

}  // namespace

// Phi-3.5-MoE: LayerNorm, and experts chosen by SparseMixer, whose jitter no file states.
constinit const Family kPhiMoe = {
    .architecture = "phimoe",
    .rope_pairing = RopePairing::kHalf,
    .window_period = kEveryLayer,
    .norm = NormKind::kLayer,
    .gating = Gating::kSparseMixer,
    .router_jitter = 0.01F,
    .tensors = kTensors,
};

}  // namespace shoal
