#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "base/metrics.h"
#include "engine/engine.h"

namespace shoal {

// Where the time of steps goes, and which experts their rows go to. Watches an engine: counts on
// its thread, may be read by any.
class StepMeter final : public StepObserver {
 public:
  // n_experts: of the layer that has most.
  StepMeter(int n_layers, int n_experts);

  // Around each step, by the engine's thread. What no part took is the caller's own: sampling,
  // answers.
  void BeginStep();
  void EndStep(int64_t n_rows);
  void OnRouting(int layer, const Routing& routing) override;
  void OnPartDone(StepPart part) override;

  struct ExpertLoad {
    uint64_t rows = 0;
    double gate_weight = 0;  // Sum of what the gate gave those rows.
  };
  struct Reading {
    std::array<absl::Duration, kStepParts> parts;
    absl::Duration other;
    std::vector<ExpertLoad> experts;  // [n_layers, n_experts]
  };
  Reading Read() const;
  int n_experts() const { return n_experts_; }

  // In metrics, `network` is taken from the experts' part: what dispatch spent on the way.
  void AddMetrics(absl::Duration network, Metrics* metrics) const;

 private:
  // One thread writes, so that it needs no read-modify-write.
  template <typename T, typename U>
  static void Add(std::atomic<T>& sum, U value) {
    sum.store(sum.load(std::memory_order_relaxed) + static_cast<T>(value),
              std::memory_order_relaxed);
  }
  void AddExpertMetrics(const std::vector<ExpertLoad>& experts, Metrics* metrics) const;

  const int n_layers_;
  const int n_experts_;
  absl::Time mark_;  // The engine's thread.
  std::array<std::atomic<int64_t>, kStepParts> part_ns_ = {};
  std::atomic<int64_t> other_ns_{0};
  std::vector<std::atomic<uint64_t>> rows_;       // [n_layers, n_experts]
  std::vector<std::atomic<double>> gate_weight_;  // [n_layers, n_experts]
  Histogram step_rows_{kTokensBounds};
};

}  // namespace shoal
