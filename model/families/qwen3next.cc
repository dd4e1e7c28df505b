#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr TensorSpec kAttnQ = {
    TensorRole::kAttnQ, "blk.#.attn_q.weight", {Extent::kGatedQueries, Extent::kHidden}};

constexpr auto kTensors =
    Join(tensors::With(tensors::With(tensors::kDecoder, kAttnQ), tensors::kFfnNormAfterAttention),
         tensors::kHeadNorms, tensors::kDeltaRule, tensors::kRouted, tensors::kShared,
         tensors::kSharedGate);

}  // namespace

// Qwen3-Next: the gated delta rule in all layers but every full_attention_interval-th, whose
// attention has a gate.
constinit const Family kQwen3Next = {
    .architecture = "qwen3next",
    .rope_pairing = RopePairing::kHalf,
    .qk_norm = QkNorm::kHead,
    .norm_topk_prob = true,
    .tensors = kTensors,
};

}  // namespace shoal
