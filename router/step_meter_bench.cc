// What watching costs a decoded token: everything that a router counts in one step of one sequence.
#include <benchmark/benchmark.h>

#include <numeric>
#include <vector>

#include "base/clock.h"
#include "router/request_meter.h"
#include "router/step_meter.h"

namespace shoal {
namespace {

void BM_WatchOneStep(benchmark::State& state) {
  const auto n_layers = static_cast<int>(state.range(0));
  const auto n_experts = static_cast<int>(state.range(1));
  constexpr int kTopK = 8;
  std::vector<int32_t> ids(kTopK);
  std::iota(ids.begin(), ids.end(), n_experts / 2);
  const std::vector<float> weights(kTopK, 0.125F);
  const Routing routing{.n_tokens = 1, .top_k = kTopK, .topk_ids = ids, .topk_weights = weights};
  StepMeter steps(n_layers, n_experts);
  RequestMeter requests;
  absl::Time last = MonotonicNow();
  for (auto _ : state) {
    steps.BeginStep();
    steps.OnPartDone(StepPart::kEmbed);
    for (int layer = 0; layer < n_layers; ++layer) {
      steps.OnPartDone(StepPart::kAttention);
      steps.OnRouting(layer, routing);
      steps.OnPartDone(StepPart::kGate);
      steps.OnPartDone(StepPart::kExperts);
    }
    steps.OnPartDone(StepPart::kHead);
    const absl::Time now = MonotonicNow();
    requests.OnNextToken(now - last);
    last = now;
    steps.EndStep(1);
  }
}
// The demonstration model, OLMoE-1B-7B, Qwen3-30B-A3B.
BENCHMARK(BM_WatchOneStep)->Args({6, 16})->Args({16, 64})->Args({48, 128});

}  // namespace
}  // namespace shoal
