#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/time/time.h"
#include "base/bounded_queue.h"
#include "base/limits.h"
#include "base/mutex.h"
#include "engine/local_experts.h"
#include "worker/ops/run_experts.h"

namespace shoal {

// What a worker has done since it started.
struct WorkerCounters {
  uint64_t calls = 0;  // Answered with rows.
  uint64_t refused_calls = 0;
  uint64_t rows_computed = 0;  // Result rows.
};

// A worker's methods: the queue, deadlines, counters. No arithmetic, and no transport: frames come
// in, frames go out through `reply`. Thread-safe, but RunNext belongs to the compute thread.
class WorkerService {
 public:
  using Reply = std::function<void(FrameBuffer)>;

  struct Options {
    ServedModel served;
    std::string isa;  // For status only: every instruction set gives the same bits.
  };

  // `experts` outlives this and is used by the compute thread only.
  WorkerService(Options options, LocalExperts* experts);

  // Queues a call. What cannot be queued is answered at once with its reason.
  void OnRunExperts(FrameBuffer frame, Reply reply) SHOAL_EXCLUDES(mu_);

  // Answers one queued call; false when there is none.
  bool RunNext() SHOAL_EXCLUDES(mu_);

  WorkerCounters counters() const {
    return {calls_.load(), refused_calls_.load(), rows_computed_.load()};
  }

  // Answers a status request at once. Anything else on that stream gets no answer.
  void OnHealth(const FrameBuffer& frame, const Reply& reply);

  // From now on new calls are answered DRAINING. Waits until those already accepted are answered;
  // false when the deadline passes first. Never called on the compute thread.
  bool Drain(absl::Time deadline) SHOAL_EXCLUDES(mu_);

 private:
  struct Call {
    FrameBuffer buffer;  // What `frame` points into.
    Frame frame;
    absl::Time deadline;
    Reply reply;
  };

  void Refuse(const wire::CallId* id, wire::ReplyCode code, const std::string& message,
              const Reply& reply);
  bool Accept() SHOAL_EXCLUDES(mu_);  // False when draining.
  void Done() SHOAL_EXCLUDES(mu_);

  const Options options_;
  RunExpertsOp run_experts_;
  const uint64_t incarnation_;
  std::string resident_;  // An ExpertSet's bytes.
  uint64_t resident_experts_ = 0;
  uint64_t resident_bytes_ = 0;
  BoundedQueue<Call> queue_{kMaxCallsPerPeer};

  Mutex mu_;
  CondVar all_done_;
  int n_accepted_ SHOAL_GUARDED_BY(mu_) = 0;  // Queued or being computed.

  std::atomic<bool> draining_{false};  // Set under mu_, so that n_accepted_ never grows after it.
  std::atomic<uint64_t> calls_{0};
  std::atomic<uint64_t> refused_calls_{0};
  std::atomic<uint64_t> rows_computed_{0};
  std::atomic<uint64_t> bytes_in_{0};
  std::atomic<uint64_t> bytes_out_{0};
  std::atomic<uint64_t> compute_ns_{0};
};

}  // namespace shoal
