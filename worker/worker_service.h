#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/random.h"
#include "proto/identity.h"
#include "proto/snapshot.h"
#include "proto/transport.h"
#include "worker/ops/run_experts.h"
#include "worker/peer_queues.h"
#include "worker/served.h"

namespace shoal {

// A worker's methods: who may call, the queue, deadlines, counters. No arithmetic, and no
// transport: frames come in, frames go out through `reply`. Thread-safe, but RunNext belongs to the
// compute thread.
class WorkerService {
 public:
  using Reply = std::function<void(FrameBuffer)>;

  struct Options {
    std::string isa;  // For status only: every instruction set gives the same bits.
    // The snapshot in force, which names the revoked; may be empty or give null.
    std::function<std::shared_ptr<const Snapshot>()> snapshot = {};
    // False where links carry no certificates: then any caller on this machine is a router.
    bool authenticated = true;
    Clock* clock = SystemClock();
    Random* random = SystemRandom();
  };

  explicit WorkerService(Options options);

  // What is served from the next call on. Null, and before the first: nothing is resident.
  void Serve(std::shared_ptr<Served> served) SHOAL_EXCLUDES(mu_);

  // Queues a call of `peer`. What cannot be queued is answered at once with its reason.
  void OnRunExperts(const NodeIdentity& peer, FrameBuffer frame, Reply reply) SHOAL_EXCLUDES(mu_);

  // Answers one queued call; false when there is none.
  bool RunNext() SHOAL_EXCLUDES(mu_);

  // Answers a status request at once. Anything else on that stream, and whoever may not ask, gets
  // no answer.
  void OnHealth(const NodeIdentity& peer, const FrameBuffer& frame, const Reply& reply)
      SHOAL_EXCLUDES(mu_);

  // From now on new calls are answered DRAINING. Waits until those already accepted are answered;
  // false when the deadline passes first. Never called on the compute thread.
  bool Drain(absl::Time deadline) SHOAL_EXCLUDES(mu_);

  bool draining() const { return draining_.load(); }
  // Whether a call came within the last few seconds: then loading has to stand back.
  bool IsBusy() const;
  // What it has done since it started. Any thread.
  void AddMetrics(Metrics* metrics) const SHOAL_EXCLUDES(mu_);

 private:
  struct Call {
    FrameBuffer buffer;  // What `frame` points into.
    Frame frame;
    absl::Time arrival;
    absl::Time deadline;
    Reply reply;
  };

  absl::Status CheckCaller(const NodeIdentity& peer, const wire::FrameHeader& header,
                           StreamKind kind) const;
  void Refuse(const wire::CallId* id, wire::ReplyCode code, const std::string& message,
              const Reply& reply);
  RunExpertsOp::Answer Answer(const Call& call) SHOAL_EXCLUDES(mu_);
  std::shared_ptr<Served> served() const SHOAL_EXCLUDES(mu_);
  bool Accept() SHOAL_EXCLUDES(mu_);  // False when draining.
  void Done() SHOAL_EXCLUDES(mu_);

  const Options options_;
  const uint64_t incarnation_;
  PeerQueues<Call> queue_;

  mutable Mutex mu_;
  CondVar all_done_;
  int n_accepted_ SHOAL_GUARDED_BY(mu_) = 0;  // Queued or being computed.
  std::shared_ptr<Served> served_ SHOAL_GUARDED_BY(mu_);

  std::atomic<bool> draining_{false};  // Set under mu_, so that n_accepted_ never grows after it.
  std::atomic<int64_t> last_call_ns_;  // When one came; of options_.clock.
  std::atomic<uint64_t> calls_{0};
  std::atomic<uint64_t> refused_calls_{0};
  std::atomic<uint64_t> rows_computed_{0};
  std::atomic<uint64_t> bytes_in_{0};
  std::atomic<uint64_t> bytes_out_{0};
  std::atomic<uint64_t> compute_ns_{0};
  Histogram call_time_{kSecondsBounds};
};

}  // namespace shoal
