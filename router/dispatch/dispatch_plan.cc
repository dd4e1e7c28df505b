#include "router/dispatch/dispatch_plan.h"

#include <algorithm>

#include "base/check.h"

namespace shoal {

void DispatchPlan::Build(const Routing& routing, RoundRobin placement, int max_results) {
  SHOAL_CHECK_GE(max_results, routing.top_k);
  top_k_ = routing.top_k;
  n_calls_ = 0;
  places_.resize(routing.topk_ids.size());
  int32_t n_experts = 0;
  for (const int32_t id : routing.topk_ids) n_experts = std::max(n_experts, id + 1);
  count_.resize(n_experts);
  for (int worker = 0; worker < placement.n_workers; ++worker) {
    for (int begin = 0; begin < routing.n_tokens;) {
      begin = PlanRows(routing, placement, worker, begin, max_results);
    }
  }
}

// Plans one call of `worker` for rows from `begin` on, as many as fit; returns where it stopped.
int DispatchPlan::PlanRows(const Routing& routing, RoundRobin placement, int worker, int begin,
                           int max_results) {
  PlannedCall& call = NextCall(worker);
  std::fill(count_.begin(), count_.end(), 0);
  int n_results = 0;
  int end = begin;
  for (; end < routing.n_tokens; ++end) {
    const std::span<const int32_t> ids = routing.topk_ids.subspan(Index(end, 0), top_k_);
    const auto mine = [&](int32_t id) { return placement.WorkerOf(id) == worker; };
    const auto n = static_cast<int>(std::count_if(ids.begin(), ids.end(), mine));
    if (n == 0) continue;
    if (n_results + n > max_results) break;
    n_results += n;
    call.tokens.push_back(end);
    for (const int32_t id : ids) {
      if (mine(id)) ++count_[id];
    }
  }
  if (n_results == 0) {
    --n_calls_;
    return end;
  }

  // A counting sort by expert: count_ becomes each expert's next free result row.
  ExpertAssignment& assignment = call.assignment;
  for (size_t id = 0; id < count_.size(); ++id) {
    if (count_[id] == 0) continue;
    const int32_t first = assignment.row_begin.back();
    assignment.expert_ids.push_back(static_cast<int32_t>(id));
    assignment.row_begin.push_back(first + count_[id]);
    count_[id] = first;
  }
  assignment.rows.resize(n_results);
  for (size_t i = 0; i < call.tokens.size(); ++i) {
    for (int k = 0; k < top_k_; ++k) {
      const size_t pair = Index(call.tokens[i], k);
      const int32_t id = routing.topk_ids[pair];
      if (placement.WorkerOf(id) != worker) continue;
      places_[pair] = {static_cast<int32_t>(n_calls_ - 1), count_[id]++};
      assignment.rows[places_[pair].row] = static_cast<int32_t>(i);
    }
  }
  return end;
}

PlannedCall& DispatchPlan::NextCall(int worker) {
  if (n_calls_ == calls_.size()) calls_.emplace_back();
  PlannedCall& call = calls_[n_calls_++];
  call.worker = worker;
  call.tokens.clear();
  call.assignment.expert_ids.clear();
  call.assignment.row_begin.assign(1, 0);
  call.assignment.rows.clear();
  return call;
}

void DispatchPlan::CombineRow(const KernelTable& kernels, std::span<const ExpertOutput> outputs,
                              const Routing& routing, int t, float* scratch, float* out) const {
  for (int k = 0; k < top_k_; ++k) {
    const Place& place = places_[Index(t, k)];
    AddWeightedRow(kernels, outputs[place.call], place.row, routing.topk_weights[Index(t, k)],
                   scratch, out);
  }
}

}  // namespace shoal
