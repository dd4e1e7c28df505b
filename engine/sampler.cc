#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "base/check.h"

namespace shoal {
namespace {

// Below this a temperature is greedy: dividing by less may leave f32's range.
constexpr float kGreedyBelow = 1e-5F;

int32_t ArgMax(std::span<const float> values) {
  // max_element keeps the first of equals: the lower id.
  return static_cast<int32_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

}  // namespace

double CounterUniform(uint64_t seed, uint64_t counter) {
  std::array<uint32_t, 4> x = {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32),
                               0, 0};
  std::array<uint32_t, 2> key = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * x[0];
    const uint64_t b = uint64_t{0xCD9E8D57} * x[2];
    x = {static_cast<uint32_t>(b >> 32) ^ x[1] ^ key[0], static_cast<uint32_t>(b),
         static_cast<uint32_t>(a >> 32) ^ x[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  const uint64_t bits = (uint64_t{x[1]} << 32 | x[0]) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

int32_t Sampler::Sample(std::span<const float> logits, const SamplingParams& params,
                        int64_t position) {
  SHOAL_CHECK(!logits.empty());
  if (params.temperature < kGreedyBelow) return ArgMax(logits);
  const size_t n = logits.size();
  probs_.resize(n);
  for (size_t i = 0; i < n; ++i) probs_[i] = logits[i] / params.temperature;
  kernels_.softmax(probs_.data(), static_cast<int64_t>(n));

  const double u = CounterUniform(params.seed, static_cast<uint64_t>(position));
  double sum = 0;
  if (params.top_p >= 1.0F) {
    for (const float p : probs_) sum += p;
    const double target = u * sum;
    double reached = 0;
    for (size_t i = 0; i < n; ++i) {
      reached += probs_[i];
      if (reached > target) return static_cast<int32_t>(i);
    }
    return ArgMax(probs_);  // Only if rounding left the sum short of the target.
  }

  // The nucleus: most probable first, until top_p is reached. A heap gives just those.
  order_.resize(n);
  std::iota(order_.begin(), order_.end(), 0);
  const auto less_probable = [this](int32_t a, int32_t b) {
    return probs_[a] != probs_[b] ? probs_[a] < probs_[b] : a > b;
  };
  std::make_heap(order_.begin(), order_.end(), less_probable);
  auto heap_end = order_.end();
  while (heap_end != order_.begin() && sum < params.top_p) {
    std::pop_heap(order_.begin(), heap_end, less_probable);
    sum += probs_[*--heap_end];
  }
  const double target = u * sum;
  double reached = 0;
  for (auto it = order_.end(); it != heap_end;) {  // The nucleus lies from the end backwards.
    reached += probs_[*--it];
    if (reached > target) return *it;
  }
  return order_.back();
}

}  // namespace shoal
