#include "engine/top_k.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "base/limits.h"

namespace shoal {

void SelectTopK(const KernelTable& kernels, MatView<float> router_logits, int top_k,
                bool renormalize, int stride, int32_t* topk_ids, float* topk_weights) {
  const int n_experts = static_cast<int>(router_logits.cols);
  std::array<int32_t, kMaxExperts> order;
  for (int64_t t = 0; t < router_logits.rows; ++t) {
    float* probs = router_logits.row(t);
    kernels.softmax(probs, n_experts);
    const auto end = order.begin() + n_experts;
    std::iota(order.begin(), end, 0);
    std::partial_sort(order.begin(), order.begin() + top_k, end, [probs](int32_t a, int32_t b) {
      return probs[a] != probs[b] ? probs[a] > probs[b] : a < b;
    });
    std::sort(order.begin(), order.begin() + top_k);
    float sum = 0;
    for (int k = 0; k < top_k; ++k) sum += probs[order[k]];
    for (int k = 0; k < top_k; ++k) {
      topk_ids[t * stride + k] = order[k];
      topk_weights[t * stride + k] = renormalize ? probs[order[k]] / sum : probs[order[k]];
    }
  }
}

}  // namespace shoal
