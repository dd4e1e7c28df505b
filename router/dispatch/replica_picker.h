#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace shoal {

// Which worker computes each expert of a step. Thread-compatible; keeps its memory.
class ReplicaPicker {
 public:
  // Begins a step: workers 0..n-1 with nothing to do. speeds: one per worker, 0 where unknown (then
  // as fast as the average of the others).
  void Begin(std::span<const double> speeds);

  // One expert and the workers that may compute it, at least one.
  void AddExpert(int32_t expert, std::span<const int> candidates);

  // Chooses one candidate for each expert added, so that the busiest worker, in experts over speed,
  // has as little as a greedy choice and moves away from it can reach: O(experts x replicas) as a
  // rule. The same input gives the same choice. worker_of: [n_experts], written where an expert was
  // added.
  void Pick(std::span<int32_t> worker_of);

 private:
  struct Expert {
    int32_t id = 0;
    int32_t begin = 0;  // Of its candidates.
    int32_t end = 0;
    int32_t chosen = -1;
  };

  double CostWith(int worker, int n_experts) const { return n_experts * cost_[worker]; }
  int Cheapest(const Expert& expert) const;
  bool RelieveBusiest();

  std::vector<double> cost_;  // Of one expert on each worker.
  std::vector<int32_t> load_;
  std::vector<Expert> experts_;
  std::vector<int32_t> order_;
  std::vector<int> candidates_;
};

}  // namespace shoal
