#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "model/expert_set.h"
#include "proto/frame_codec.h"
#include "proto/transport.h"
#include "router/dispatch/peer_pulse.h"
#include "router/dispatch/worker_member.h"

namespace shoal {

// What a worker says of itself.
struct WorkerStatus {
  std::string address;
  std::string model_id;
  std::string numerics_class;
  std::string isa;
  bool draining = false;
  uint64_t calls = 0;
  uint64_t refused_calls = 0;
  uint64_t rows_computed = 0;  // Result rows.
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  uint64_t resident_experts = 0;  // (layer, expert) pairs.
  uint64_t resident_expert_bytes = 0;
  uint64_t rss_bytes = 0;
  uint64_t incarnation = 0;
  absl::Duration compute;  // Inside calls.
};

// What this process itself has seen of one member. Its own observation decides whether a worker is
// alive, whatever others say (FAILURE-MODEL F06, F07).
struct PeerView {
  WorkerMember member;
  bool reachable = false;     // Answers, in time, and serves what is asked for.
  absl::Status trouble;       // While not reachable: why.
  bool unfit = false;         // It answers, but serves another model or numerics class.
  bool draining = false;      // By its own word or the snapshot's.
  ExpertSet resident;         // As it last said; kept while it cannot be reached.
  absl::Duration round_trip;  // As last timed; zero before.
  WorkerStatus status;        // As it last said.
  absl::Time asked;           // When the question was put that `status` answers.
};
using PeerViews = std::vector<PeerView>;

// "worker 3 (10.0.0.7:7001)" or, where its id is known, "worker 0123456789abcdef (10.0.0.7:7001)".
std::string NameOf(const WorkerMember& member, int index);

// Watches the health of every member over a health stream to each, on a thread of its own: asks
// every 100 ms, and takes silence, a closed link or another model for what they are. Lost links are
// dialled again with a growing pause. Thread-safe.
class PeerHealth {
 public:
  struct Options {
    std::string model_id;
    std::string numerics_class;
    int n_layers = 0;
    int n_experts = 0;
    Clock* clock = SystemClock();  // Outlives this.
  };

  PeerHealth(Options options, std::unique_ptr<Dialer> dialer);
  ~PeerHealth();

  // From now on these are watched. At most kMaxWorkers; further ones are left out.
  void SetMembers(std::vector<WorkerMember> members) SHOAL_EXCLUDES(mu_);

  // Grows when anything that matters to dispatch has changed: members, who is reachable, draining,
  // resident. Cheap enough for every call.
  uint64_t version() const { return version_.load(std::memory_order_acquire); }
  // In the order of the members; never null.
  std::shared_ptr<const PeerViews> views() const SHOAL_EXCLUDES(mu_);

  // The views once every member has answered a question that was put after this call began.
  // Unavailable, with the worker's name, when one has not by the deadline.
  absl::StatusOr<std::shared_ptr<const PeerViews>> Ask(absl::Time deadline) SHOAL_EXCLUDES(mu_);

 private:
  enum class LinkState : uint8_t { kDown, kDialling, kOpen };
  struct Peer {
    PeerView view;
    LinkState state = LinkState::kDown;
    LinkId link = 0;
    absl::Time redial_at = absl::InfinitePast();
    absl::Time dialled_at;
    absl::Duration backoff;
    PeerPulse pulse;
  };

  void ThreadMain();
  void TimeRoundTrips();
  void TakeInMembers();
  void OnEvent(const LinkEvent& event);
  void OnAnswer(Peer& peer, const wire::StatusReply& reply);
  absl::Status CheckFit(const wire::StatusReply& reply) const;
  void Tend(Peer& peer);
  void LinkLost(Peer& peer, const absl::Status& why);
  void SetReachable(Peer& peer, bool reachable, absl::Status why);
  void Publish() SHOAL_EXCLUDES(mu_);
  void SleepUntilNextLook() SHOAL_EXCLUDES(mu_);

  const Options options_;

  // Owned by the thread.
  std::unique_ptr<Dialer> dialer_;
  std::vector<Peer> peers_;
  absl::Time now_;
  absl::Time last_look_ = absl::InfiniteFuture();
  absl::Time timing_at_ = absl::InfiniteFuture();  // When round trips are timed next.
  bool timing_ = false;
  bool seen_ = false;     // Any answer or change since the last Publish.
  bool matters_ = false;  // And one that dispatch must know of.

  std::atomic<uint64_t> version_{1};
  mutable Mutex mu_;
  CondVar wake_;       // For the thread.
  CondVar published_;  // For those who wait.
  std::vector<WorkerMember> members_ SHOAL_GUARDED_BY(mu_);
  bool members_changed_ SHOAL_GUARDED_BY(mu_) = false;
  bool ask_now_ SHOAL_GUARDED_BY(mu_) = false;
  bool stop_ SHOAL_GUARDED_BY(mu_) = false;
  std::shared_ptr<const PeerViews> views_ SHOAL_GUARDED_BY(mu_) =
      std::make_shared<const PeerViews>();
  std::thread thread_;
};

}  // namespace shoal
