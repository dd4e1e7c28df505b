#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "model/expert_heat.h"

namespace shoal {

struct HeatRun {
  Engine* engine = nullptr;
  KvCache* kv_cache = nullptr;  // Room for ctx_size positions.
  int64_t ctx_size = 0;         // Tokens that a prompt is read in at a time, from an empty cache.
  std::span<const std::vector<int32_t>> prompts = {};
  std::function<void(int64_t done, int64_t all)> on_progress = {};  // Tokens read; or empty.
};

// Reads every prompt and counts which routed experts its rows take; the model's name is left to the
// caller. InvalidArgument for a model without any; the engine's errors are passed on.
absl::StatusOr<ExpertHeat> CountHeat(const HeatRun& run);

}  // namespace shoal
