#include "engine/top_k.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

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

namespace {

struct Choice {
  int32_t id;
  float weight;
};

// The best of the n scores but `without`, which may be -1.
Choice BestAmongTies(const KernelTable& kernels, const float* scores, int n, int32_t without,
                     float jitter) {
  int32_t best = -1;
  for (int32_t i = 0; i < n; ++i) {
    if (i != without && (best < 0 || scores[i] > scores[best])) best = i;
  }
  std::array<float, kMaxExperts> ties;
  for (int32_t i = 0; i < n; ++i) {
    const float distance =
        (scores[best] - scores[i]) / std::max(std::fabs(scores[i]), scores[best]);
    const bool out = i == without || distance > 2 * jitter;
    ties[i] = out ? -std::numeric_limits<float>::infinity() : scores[i];
  }
  kernels.softmax(ties.data(), n);
  return {best, ties[best]};
}

}  // namespace

void SelectBySparseMixer(const KernelTable& kernels, MatView<const float> router_logits,
                         float jitter, int stride, int32_t* topk_ids, float* topk_weights) {
  const int n = static_cast<int>(router_logits.cols);
  for (int64_t t = 0; t < router_logits.rows; ++t) {
    const float* scores = router_logits.row(t);
    Choice low = BestAmongTies(kernels, scores, n, -1, jitter);
    Choice high = BestAmongTies(kernels, scores, n, low.id, jitter);
    if (high.id < low.id) std::swap(low, high);
    topk_ids[t * stride] = low.id;
    topk_ids[t * stride + 1] = high.id;
    topk_weights[t * stride] = low.weight;
    topk_weights[t * stride + 1] = high.weight;
  }
}

}  // namespace shoal
