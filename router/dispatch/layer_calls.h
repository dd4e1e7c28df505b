#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/random.h"
#include "engine/expert_executor.h"
#include "proto/transport.h"
#include "router/dispatch/call_encoder.h"
#include "router/dispatch/call_latency.h"
#include "router/dispatch/dispatch_plan.h"
#include "router/dispatch/expert_call.h"
#include "router/dispatch/replica_picker.h"
#include "router/dispatch/retry_budget.h"
#include "router/dispatch/worker_links.h"

namespace shoal {

// Calls whose experts were sent to another replica, by why.
struct RetriedCalls {
  uint64_t lost = 0;     // The link closed, or the worker left the cluster.
  uint64_t suspect = 0;  // The worker fell silent.
  uint64_t slow = 0;     // No answer for longer than such calls take.
  uint64_t refused = 0;
  uint64_t corrupt = 0;

  uint64_t total() const { return lost + suspect + slow + refused + corrupt; }
};

// What dispatch has cost since the start.
struct DispatchCounters {
  uint64_t calls = 0;         // Attempts that were planned.
  uint64_t failed_calls = 0;  // Attempts that gave no result but were not merely too late.
  uint64_t bytes_out = 0;     // Whole frames, both ways.
  uint64_t bytes_in = 0;
  absl::Duration wait;     // From a Finish's begin until its last reply.
  absl::Duration network;  // Of that, what the worker that came last did not spend computing.
  RetriedCalls retried;
  uint64_t lost_workers = 0;  // Open links that closed.
  uint64_t parked = 0;        // Times that rows had to wait because nobody could be asked.
  DroppedReplies dropped;
};

// The calls of one layer of one step, until every row has its results or has failed. What a worker
// does not answer is sent to another replica (FAILURE-MODEL F01, F03, F09); experts that nobody can
// be asked for wait, parked, until somebody can (F02). Since experts are pure and sums run in
// ascending expert id, the result does not depend on any of this. Owned by the engine's thread.
class LayerCalls {
 public:
  struct Options {
    CallForm form;
    int n_layers = 0;
    int n_experts = 0;
    int max_call_results = 0;  // Result rows of one call.
    Random* random = nullptr;  // Outlives this, as the other two.
    Dialer* dialer = nullptr;
    WorkerLinks* links = nullptr;
  };

  explicit LayerCalls(const Options& options);

  // Begins: sends what can be sent. input and the routing's arrays outlive the step.
  void Begin(int layer, const ExpertInput& input, const Routing& routing, uint64_t step_id,
             absl::Time deadline, absl::Time now);

  // A frame, or the closing, of a link.
  void OnFrame(LinkId link, FrameBuffer frame, absl::Time now);
  void OnClosed(LinkId link, const absl::Status& why, absl::Time now);
  // A link that was closed from this side.
  void OnGone(LinkId link, absl::Time now);

  // Sends again what has waited for too long, and what was parked. Every few milliseconds.
  void Tend(absl::Time now);

  bool done() const { return plan_.n_unsettled() == 0; }
  // Fails what is left: with `why`, or with "expert_unavailable: " and what is missing.
  void FailRest(const absl::Status& why);
  void FailRestAsUnavailable();

  // Once done: adds up the rows that have not failed. out: [n_tokens, hidden_dim].
  RowStatuses Combine(const KernelTable& kernels, MatView<float> out);

  DispatchCounters& counters() { return counters_; }
  // What the worker whose answer came last spent on it; zero when none came.
  absl::Duration last_compute() const { return last_compute_; }
  // With what the call table dropped.
  DispatchCounters AllCounters() const;

 private:
  // Pairs that wait for somebody who can be asked.
  struct Parked {
    std::vector<int32_t> pairs;
    uint32_t attempt = 0;
    absl::Time retry_at;
  };
  struct PairState {
    uint8_t n_calls = 0;  // Open calls for it that are not overdue.
    bool parked = false;
  };

  void SendToReplicas(std::span<const int32_t> pairs, uint32_t attempt, const WorkerSet& tried,
                      absl::Time retry_at);
  bool ChooseWorkers(std::span<const int32_t> pairs, const WorkerSet& tried);
  void OpenCall(int i, uint32_t attempt, const WorkerSet& tried);
  void SendWaiting(WorkerLinks::Worker& worker);
  void SendCall(int i, WorkerLinks::Worker& worker);

  void HandleEnded();
  void OnAnswered(int i);
  void CountFailed(int i);
  void OnHopeless(int i);
  void AbandonSettled();
  void Retry(int i);
  void MoveAway(int i);
  bool AnyoneElse(const PlannedCall& planned, const WorkerSet& tried);
  void Release(int i);
  std::vector<int32_t> Uncovered(int i) const;

  void Park(std::vector<int32_t> pairs, uint32_t attempt, absl::Time retry_at);
  void Unpark();
  WorkerSet StillAsked(std::span<const int32_t> pairs) const;
  absl::Time SoonAfterNow();

  void FailPairs(std::span<const int32_t> pairs, const absl::Status& why);
  WorkerTraffic& TrafficOf(int i) { return links_.at(plan_.calls()[i].worker).traffic; }
  std::string NameOfWorker(int i) { return links_.at(plan_.calls()[i].worker).name; }

  const Options options_;
  Dialer& dialer_;
  WorkerLinks& links_;
  ReplicaPicker picker_;
  CallTable table_;
  CallLatency latency_;
  RetryBudget budget_;
  DispatchCounters counters_;

  // The step.
  DispatchPlan plan_;
  ExpertInput input_;
  int n_tokens_ = 0;
  int layer_ = 0;
  uint64_t step_id_ = 0;
  absl::Time deadline_;
  absl::Time now_;
  absl::Duration patience_cap_;
  absl::Duration last_compute_;
  bool disturbed_ = false;          // Some call was sent a second time.
  std::vector<PairState> pairs_;    // [n_tokens, top_k]
  std::vector<int32_t> all_pairs_;  // 0, 1, 2, ...
  std::vector<int32_t> worker_of_;  // [n_experts]
  std::vector<Parked> parked_;
  RowStatuses statuses_;
  std::vector<ExpertOutput> outputs_;  // One per call.
  std::vector<float> scratch_;         // [hidden_dim]
};

}  // namespace shoal
