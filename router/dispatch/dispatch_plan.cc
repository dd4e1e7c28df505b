#include "router/dispatch/dispatch_plan.h"

#include <algorithm>

#include "base/check.h"

namespace shoal {

void DispatchPlan::Begin(const Routing& routing) {
  routing_ = routing;
  n_calls_ = 0;
  places_.assign(routing.topk_ids.size(), Place{});
  n_unsettled_ = static_cast<int>(places_.size());
}

int DispatchPlan::AddCalls(std::span<const int32_t> pairs, std::span<const int32_t> worker_of,
                           int max_results) {
  SHOAL_CHECK_GE(max_results, routing_.top_k);
  const auto first = static_cast<int>(n_calls_);
  count_.resize(worker_of.size());
  workers_.clear();
  for (const int32_t pair : pairs) {
    const int32_t worker = worker_of[expert_of(pair)];
    if (worker < 0) continue;
    const auto at = std::lower_bound(workers_.begin(), workers_.end(), worker);
    if (at == workers_.end() || *at != worker) workers_.insert(at, worker);
  }
  for (const int32_t worker : workers_) {
    for (size_t begin = 0; begin < pairs.size();) {
      begin = PlanRows(pairs, worker_of, worker, begin, max_results);
    }
  }
  return first;
}

// Plans one call of `worker` for pairs from `begin` on, as many rows as fit; returns where it
// stopped.
size_t DispatchPlan::PlanRows(std::span<const int32_t> pairs, std::span<const int32_t> worker_of,
                              int worker, size_t begin, int max_results) {
  PlannedCall& call = NextCall(worker);
  std::fill(count_.begin(), count_.end(), 0);
  const auto mine = [&](int32_t pair) { return worker_of[expert_of(pair)] == worker; };
  int n_results = 0;
  size_t end = begin;
  while (end < pairs.size()) {
    const int t = row_of(pairs[end]);
    size_t row_end = end;
    int n = 0;
    for (; row_end < pairs.size() && row_of(pairs[row_end]) == t; ++row_end) {
      n += mine(pairs[row_end]) ? 1 : 0;
    }
    if (n_results + n > max_results) break;
    if (n > 0) call.tokens.push_back(t);
    for (size_t i = end; i < row_end; ++i) {
      if (mine(pairs[i])) ++count_[expert_of(pairs[i])];
    }
    n_results += n;
    end = row_end;
  }
  if (n_results == 0) {
    --n_calls_;
    return end;
  }
  call.assignment.rows.resize(n_results);
  call.pairs.resize(n_results);
  FillRows(call, pairs.subspan(begin, end - begin), worker_of);
  return end;
}

// A counting sort by expert: count_ becomes each expert's next free result row.
void DispatchPlan::FillRows(PlannedCall& call, std::span<const int32_t> pairs,
                            std::span<const int32_t> worker_of) {
  ExpertAssignment& assignment = call.assignment;
  for (size_t id = 0; id < count_.size(); ++id) {
    if (count_[id] == 0) continue;
    const int32_t first = assignment.row_begin.back();
    assignment.expert_ids.push_back(static_cast<int32_t>(id));
    assignment.row_begin.push_back(first + count_[id]);
    count_[id] = first;
  }
  size_t token = 0;
  for (const int32_t pair : pairs) {
    const int32_t id = expert_of(pair);
    if (worker_of[id] != call.worker) continue;
    while (call.tokens[token] != row_of(pair)) ++token;
    const int32_t row = count_[id]++;
    assignment.rows[row] = static_cast<int32_t>(token);
    call.pairs[row] = pair;
  }
}

PlannedCall& DispatchPlan::NextCall(int worker) {
  if (n_calls_ == calls_.size()) calls_.emplace_back();
  PlannedCall& call = calls_[n_calls_++];
  call.worker = worker;
  call.tokens.clear();
  call.assignment.expert_ids.clear();
  call.assignment.row_begin.assign(1, 0);
  call.assignment.rows.clear();
  call.pairs.clear();
  return call;
}

void DispatchPlan::Answer(int call) {
  const std::vector<int32_t>& pairs = calls_[call].pairs;
  for (size_t row = 0; row < pairs.size(); ++row) {
    if (settled(pairs[row])) continue;
    places_[pairs[row]] = {call, static_cast<int32_t>(row)};
    --n_unsettled_;
  }
}

void DispatchPlan::Fail(int32_t pair) {
  if (settled(pair)) return;
  places_[pair].call = kFailed;
  --n_unsettled_;
}

void DispatchPlan::CombineRow(const KernelTable& kernels, std::span<const ExpertOutput> outputs,
                              int t, float* scratch, float* out) const {
  for (int k = 0; k < routing_.top_k; ++k) {
    const int32_t pair = t * routing_.top_k + k;
    const Place& place = places_[pair];
    SHOAL_CHECK_GE(place.call, 0);  // I4: no expert is ever left out of a sum.
    AddWeightedRow(kernels, outputs[place.call], place.row, routing_.topk_weights[pair], scratch,
                   out);
  }
}

}  // namespace shoal
