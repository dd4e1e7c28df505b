#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr auto kTensors =
    Join(tensors::kDecoder, tensors::kHeadNorms, tensors::kPostNorms, tensors::kDense);

}  // namespace

// Gemma 3, text: norms of what blocks give beside those of what they take, GELU, and five layers of
// six with a window and angles of their own. Files have the 1 of its norms' 1 + w added. The one of
// 27 billion weights scales scores by another number than its head_dim, and no key says so.
constinit const Family kGemma3 = {
    .architecture = "gemma3",
    .rope_pairing = RopePairing::kHalf,
    .qk_norm = QkNorm::kHead,
    .window_period = 6,
    .local_rope_theta = 10000,
    .activation = Activation::kGelu,
    .scaled_embeddings = true,
    .n_layers_scaled_by_width = 62,
    .tensors = kTensors,
};

}  // namespace shoal
