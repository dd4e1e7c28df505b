#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"
#include "model/mat.h"

namespace shoal {

// Chooses top_k experts of each row (Shazeer et al. 2017, arXiv:1701.06538): softmax over all
// experts, the top_k most probable, ties to the lower id; with `renormalize` their probabilities
// are divided by their sum, added in ascending id.
// router_logits: [n_tokens, n_experts] f32, replaced by the softmax.
// topk_ids, topk_weights: [n_tokens, stride], ascending id within a row; what is beyond top_k
// stays.
void SelectTopK(const KernelTable& kernels, MatView<float> router_logits, int top_k,
                bool renormalize, int stride, int32_t* topk_ids, float* topk_weights);

// Chooses two experts of each row by SparseMixer (Liu et al. 2024, arXiv:2409.12136), as it is used
// once training is over: first the best score, then the best of the rest, ties to the lower id. A
// weight is the expert's part in a softmax over those that nearly tie with it, which are i with
// (best - s[i]) / max(|s[i]|, best) <= 2 jitter; for the second choice without the first expert.
// The weights are not normalized. Shapes as above, n_experts >= 2.
void SelectBySparseMixer(const KernelTable& kernels, MatView<const float> router_logits,
                         float jitter, int stride, int32_t* topk_ids, float* topk_weights);

}  // namespace shoal
