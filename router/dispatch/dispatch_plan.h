#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/expert_executor.h"
#include "engine/expert_rows.h"

namespace shoal {

// Which worker holds an expert: expert e of every layer is on worker e % n_workers, as in
// ExpertSlice{.part = worker, .n_parts = n_workers}.
struct RoundRobin {
  int n_workers = 1;
  int WorkerOf(int expert) const { return expert % n_workers; }
};

// One call to one worker: the rows it needs, and which of its experts run on which of them.
struct PlannedCall {
  int worker = 0;
  std::vector<int32_t> tokens;  // Ascending: row i of the call is row tokens[i] of the step.
  ExpertAssignment assignment;  // Its rows are indices into `tokens`.
};

// Rows grouped by worker, then by expert, and the way back. Thread-compatible; keeps its memory
// from one Build to the next.
class DispatchPlan {
 public:
  // Plans one call per worker that any row needs. Calls of more than `max_results` result rows are
  // cut between rows; max_results is at least top_k.
  void Build(const Routing& routing, RoundRobin placement, int max_results);

  std::span<const PlannedCall> calls() const { return {calls_.data(), n_calls_}; }

  // The call that computes the k-th expert of row t, as an index into calls().
  int CallOf(int t, int k) const { return places_[Index(t, k)].call; }

  // The inverse: adds up what the calls gave, out[t] = fma(weight, y, out[t]) over t's experts in
  // ascending id. outputs: one per call; out: [n_tokens, hidden_dim]; scratch: [hidden_dim].
  // Row t only: rows fail one by one.
  void CombineRow(const KernelTable& kernels, std::span<const ExpertOutput> outputs,
                  const Routing& routing, int t, float* scratch, float* out) const;

 private:
  struct Place {
    int32_t call = 0;
    int32_t row = 0;  // Of that call's results.
  };

  size_t Index(int t, int k) const { return static_cast<size_t>(t) * top_k_ + k; }
  int PlanRows(const Routing& routing, RoundRobin placement, int worker, int begin,
               int max_results);
  PlannedCall& NextCall(int worker);

  int top_k_ = 0;
  size_t n_calls_ = 0;
  std::vector<PlannedCall> calls_;  // The first n_calls_ are in use.
  std::vector<Place> places_;       // [n_tokens, top_k]
  std::vector<int32_t> count_;      // [n_experts seen]: rows of each in the call being planned.
};

}  // namespace shoal
