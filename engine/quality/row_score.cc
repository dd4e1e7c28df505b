#include "engine/quality/row_score.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace shoal {
namespace {

// ln of the sum of exp: what turns logits into log-probabilities.
double LogSum(std::span<const float> logits, float top) {
  double sum = 0.0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x) - top);
  return top + std::log(sum);
}

constexpr double kLeast = 1e-12;  // A share smaller than rounding cannot be told from none.

}  // namespace

RowScore ScoreRow(std::span<const float> logits, int32_t target, const ReferenceRow* reference) {
  const auto top = std::max_element(logits.begin(), logits.end());
  const double log_sum = LogSum(logits, *top);
  RowScore score{.log_prob = logits[static_cast<size_t>(target)] - log_sum};
  if (reference == nullptr) return score;
  score.agrees = top - logits.begin() == reference->top.front().id;
  double rest = 1.0;
  for (const auto& [id, log_prob] : reference->top) {
    const double other = logits[static_cast<size_t>(id)] - log_sum;
    score.kl += std::exp(static_cast<double>(log_prob)) * (log_prob - other);
    rest -= std::exp(other);
  }
  if (reference->rest > kLeast && reference->top.size() < logits.size()) {
    score.kl += reference->rest *
                (std::log(static_cast<double>(reference->rest)) - std::log(std::max(rest, kLeast)));
  }
  return score;
}

ReferenceRow SummarizeRow(std::span<const float> logits, int32_t target, int n_top) {
  const double log_sum = LogSum(logits, *std::max_element(logits.begin(), logits.end()));
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto likelier = [&logits](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)];
    const float y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::partial_sort(ids.begin(), ids.begin() + n_top, ids.end(), likelier);
  ReferenceRow row;
  row.target_log_prob = static_cast<float>(logits[static_cast<size_t>(target)] - log_sum);
  double rest = 1.0;
  for (int i = 0; i < n_top; ++i) {
    const int32_t id = ids[static_cast<size_t>(i)];
    const double log_prob = logits[static_cast<size_t>(id)] - log_sum;
    row.top.push_back({id, static_cast<float>(log_prob)});
    rest -= std::exp(log_prob);
  }
  const bool whole = static_cast<size_t>(n_top) == logits.size();
  row.rest = whole ? 0.0F : static_cast<float>(std::max(rest, 0.0));
  return row;
}

}  // namespace shoal
