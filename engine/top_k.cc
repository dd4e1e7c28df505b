#include "engine/top_k.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/limits.h"
#include "kernels/scalar_math.h"

namespace shoal {
namespace {

using Row = std::array<float, kMaxExperts>;
using Ids = std::array<int32_t, kMaxExperts>;

// The k ids of [0, n) with the largest values, ties to the lower id, at the front of `ids`,
// ascending.
void BestOf(const float* values, int n, int k, Ids* ids) {
  const auto end = ids->begin() + n;
  std::iota(ids->begin(), end, 0);
  std::partial_sort(ids->begin(), ids->begin() + k, end, [values](int32_t a, int32_t b) {
    return values[a] != values[b] ? values[a] > values[b] : a < b;
  });
  std::sort(ids->begin(), ids->begin() + k);
}

void Score(const KernelTable& kernels, Gating gating, float* logits, int n) {
  if (gating == Gating::kSoftmax) return kernels.softmax(logits, n);
  for (int e = 0; e < n; ++e) logits[e] = Sigmoid(logits[e]);
}

// What a group is ranked by.
float RankOf(const float* group, int size, GroupRank rank) {
  const float* const best = std::max_element(group, group + size);
  if (rank == GroupRank::kBest) return *best;
  float second = -std::numeric_limits<float>::infinity();
  for (const float* e = group; e < group + size; ++e) {
    if (e != best) second = std::max(second, *e);
  }
  return *best + second;
}

// Experts outside of the best groups count as 0.
void LeaveGroupsOut(const ModelConfig& config, float* choice) {
  const int size = config.n_experts / config.n_expert_groups;
  Row ranks;
  for (int g = 0; g < config.n_expert_groups; ++g) {
    ranks[g] = RankOf(choice + g * size, size, config.group_rank);
  }
  Ids groups;
  BestOf(ranks.data(), config.n_expert_groups, config.n_groups_used, &groups);
  const auto used_end = groups.begin() + config.n_groups_used;
  for (int g = 0; g < config.n_expert_groups; ++g) {
    if (std::binary_search(groups.begin(), used_end, g)) continue;
    std::fill_n(choice + g * size, size, 0.0F);
  }
}

}  // namespace

void SelectTopK(const KernelTable& kernels, const ModelConfig& config, std::span<const float> bias,
                MatView<float> router_logits, int stride, int32_t* topk_ids, float* topk_weights) {
  const int n_experts = config.n_experts;
  Row choice;
  Ids chosen;
  for (int64_t t = 0; t < router_logits.rows; ++t) {
    float* const scores = router_logits.row(t);
    std::copy_n(scores, n_experts, choice.begin());
    Score(kernels, config.gating, scores, n_experts);
    // Large logits have the sigmoid 1 all of them: where nothing is added, logits choose.
    const bool logits_choose =
        config.gating == Gating::kSigmoid && bias.empty() && config.n_expert_groups == 1;
    if (!logits_choose) std::copy_n(scores, n_experts, choice.begin());
    for (size_t e = 0; e < bias.size(); ++e) choice[e] += bias[e];
    if (config.n_expert_groups > 1) LeaveGroupsOut(config, choice.data());
    BestOf(choice.data(), n_experts, config.top_k, &chosen);
    float sum = 0;
    for (int k = 0; k < config.top_k; ++k) sum += scores[chosen[k]];
    sum += config.topk_norm_floor;
    for (int k = 0; k < config.top_k; ++k) {
      const float score = scores[chosen[k]];
      topk_ids[t * stride + k] = chosen[k];
      topk_weights[t * stride + k] =
          (config.norm_topk_prob ? score / sum : score) * config.routed_scale;
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
