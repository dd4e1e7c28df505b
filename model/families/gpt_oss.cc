#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors = Join(
    tensors::Renamed(tensors::kDecoder, TensorRole::kFfnNorm, "blk.#.post_attention_norm.weight"),
    tensors::kQkvBiases, tensors::kOutputProjectionBias, tensors::kSinks, tensors::kRouted,
    tensors::kRoutedBiases);

}  // namespace

// gpt-oss: sinks, a window on every other layer, biases everywhere, a clamped SwiGLU, and YaRN
// whose ramp is not rounded; softmax over the chosen experts only, which is renormalizing.
constinit const Family kGptOss = {
    .architecture = "gpt-oss",
    .rope_pairing = RopePairing::kHalf,
    .norm_topk_prob = true,
    .window_period = 2,
    .yarn_truncates = false,
    .activation = Activation::kClampedSilu,
    .swiglu_alpha = 1.702F,
    .swiglu_limit = 7,
    .tensors = kTensors,
};

}  // namespace shoal
