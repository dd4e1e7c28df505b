#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/expert_executor.h"
#include "engine/expert_rows.h"

namespace shoal {

// One call to one worker: the rows it needs, and which of its experts run on which of them.
struct PlannedCall {
  int worker = 0;
  std::vector<int32_t> tokens;  // Ascending: row i of the call is row tokens[i] of the step.
  ExpertAssignment assignment;  // Its rows are indices into `tokens`.
  std::vector<int32_t> pairs;   // [n_results]: which pair of the step each result row is.
};

// Rows grouped by worker, then by expert, and the way back. A pair is one expert of one row:
// t * top_k + k. It is settled once a call has given its result, or it has failed; before, any
// number of calls may be planned for it, one after the other. Thread-compatible; keeps its memory
// from one step to the next.
class DispatchPlan {
 public:
  // Begins a step without calls. The routing's arrays outlive it.
  void Begin(const Routing& routing);

  // Plans calls for `pairs`, ascending: one per worker that any of them needs. worker_of: the
  // worker of each expert id; pairs of a negative one are left out. Calls of more than
  // `max_results` result rows are cut between rows; max_results is at least top_k. Returns the
  // index of the first new call.
  int AddCalls(std::span<const int32_t> pairs, std::span<const int32_t> worker_of, int max_results);

  std::span<const PlannedCall> calls() const { return {calls_.data(), n_calls_}; }
  int32_t expert_of(int32_t pair) const { return routing_.topk_ids[pair]; }
  int row_of(int32_t pair) const { return pair / routing_.top_k; }

  // The results of calls()[call] are there: its pairs that are not settled take theirs.
  void Answer(int call);
  // The pair will have no result.
  void Fail(int32_t pair);
  bool settled(int32_t pair) const { return places_[pair].call != kOpen; }
  int n_unsettled() const { return n_unsettled_; }

  // The inverse: adds up what the calls gave, out[t] = fma(weight, y, out[t]) over t's experts in
  // ascending id. outputs: one per call; out: [hidden_dim]; scratch: [hidden_dim]. Row t only, and
  // only once all its pairs have results.
  void CombineRow(const KernelTable& kernels, std::span<const ExpertOutput> outputs, int t,
                  float* scratch, float* out) const;

 private:
  static constexpr int32_t kOpen = -1;
  static constexpr int32_t kFailed = -2;
  struct Place {
    int32_t call = kOpen;
    int32_t row = 0;  // Of that call's results.
  };

  size_t PlanRows(std::span<const int32_t> pairs, std::span<const int32_t> worker_of, int worker,
                  size_t begin, int max_results);
  void FillRows(PlannedCall& call, std::span<const int32_t> pairs,
                std::span<const int32_t> worker_of);
  PlannedCall& NextCall(int worker);

  Routing routing_;
  size_t n_calls_ = 0;
  int n_unsettled_ = 0;
  std::vector<PlannedCall> calls_;  // The first n_calls_ are in use.
  std::vector<Place> places_;       // [n_tokens, top_k]
  std::vector<int32_t> count_;      // [n_experts]: rows of each in the call being planned.
  std::vector<int32_t> workers_;    // Those needed, ascending.
};

}  // namespace shoal
