#include "engine/quality/heat_counter.h"

#include <algorithm>
#include <memory>

#include "base/limits.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

class HeatCounter final : public StepObserver {
 public:
  explicit HeatCounter(const ModelConfig& config) {
    heat_.n_experts = config.n_experts;
    heat_.layers.resize(static_cast<size_t>(config.n_layers));
    for (int layer = 0; layer < config.n_layers; ++layer) {
      if (config.IsDense(layer)) continue;
      heat_.layers[static_cast<size_t>(layer)].resize(static_cast<size_t>(config.n_experts));
    }
  }

  void OnRouting(int layer, const Routing& routing) override {
    auto& experts = heat_.layers[static_cast<size_t>(layer)];
    for (size_t i = 0; i < routing.topk_ids.size(); ++i) {
      const auto id = static_cast<size_t>(routing.topk_ids[i]);
      if (id >= experts.size()) continue;  // A shared one, or a dense layer's.
      ++experts[id].rows;
      experts[id].weight += routing.topk_weights[i];
    }
  }

  ExpertHeat Take(int64_t n_tokens) {
    heat_.n_tokens = n_tokens;
    return std::move(heat_);
  }

 private:
  ExpertHeat heat_;
};

absl::Status ReadPrompt(const HeatRun& run, std::span<const int32_t> ids,
                        const std::function<void(int64_t)>& on_rows) {
  std::unique_ptr<KvSequence> kv;
  while (!ids.empty()) {
    if (kv == nullptr || kv->length() == run.ctx_size) {
      kv.reset();
      SHOAL_ASSIGN_OR_RETURN(kv, run.kv_cache->Reserve(run.ctx_size));
    }
    const size_t n = std::min(
        {size_t{kMaxStepTokens}, ids.size(), static_cast<size_t>(run.ctx_size - kv->length())});
    StepSequence sequence{.kv = kv.get(), .token_ids = ids.first(n), .n_logits = 0};
    run.engine->Step({&sequence, 1}, {}, {});
    SHOAL_RETURN_IF_ERROR(sequence.status);
    ids = ids.subspan(n);
    on_rows(static_cast<int64_t>(n));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ExpertHeat> CountHeat(const HeatRun& run) {
  if (run.engine->config().n_experts == 0) {
    return absl::InvalidArgumentError(
        "the model has no routed experts, of which one could be hotter than another");
  }
  int64_t n_all = 0;
  int64_t n_done = 0;
  for (const auto& ids : run.prompts) n_all += static_cast<int64_t>(ids.size());
  HeatCounter counter(run.engine->config());
  run.engine->set_observer(&counter);
  absl::Status status;
  for (size_t i = 0; i < run.prompts.size() && status.ok(); ++i) {
    status = ReadPrompt(run, run.prompts[i], [&](int64_t n) {
      n_done += n;
      if (run.on_progress) run.on_progress(n_done, n_all);
    });
  }
  run.engine->set_observer(nullptr);
  SHOAL_RETURN_IF_ERROR(status);
  return counter.Take(n_done);
}

}  // namespace shoal
