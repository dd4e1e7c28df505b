#pragma once

#include <cstdint>
#include <span>

#include "kernels/kernel_table.h"
#include "model/mat.h"
#include "model/model_config.h"

namespace shoal {

// Chooses and weighs config.top_k experts of each row (Shazeer et al. 2017, arXiv:1701.06538) as
// the routing options of `config` say (docs/arithmetic.md section 8): scores, the best groups of
// experts if there are several (DeepSeek 2024, arXiv:2412.19437), the best experts in them, ties to
// the lower id; weights come from the scores without the bias.
// router_logits: [n_tokens, n_experts] f32, replaced by the scores. bias: [n_experts] or empty.
// topk_ids, topk_weights: [n_tokens, stride], ascending id within a row; what is beyond top_k
// stays.
void SelectTopK(const KernelTable& kernels, const ModelConfig& config, std::span<const float> bias,
                MatView<float> router_logits, int stride, int32_t* topk_ids, float* topk_weights);

// Chooses two experts of each row by SparseMixer (Liu et al. 2024, arXiv:2409.12136), as it is used
// once training is over: first the best score, then the best of the rest, ties to the lower id. A
// weight is the expert's part in a softmax over those that nearly tie with it, which are i with
// (best - s[i]) / max(|s[i]|, best) <= 2 jitter; for the second choice without the first expert.
// The weights are not normalized. Shapes as above, n_experts >= 2.
void SelectBySparseMixer(const KernelTable& kernels, MatView<const float> router_logits,
                         float jitter, int stride, int32_t* topk_ids, float* topk_weights);

}  // namespace shoal
