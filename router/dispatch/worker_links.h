#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "model/expert_set.h"
#include "proto/transport.h"
#include "router/dispatch/expert_call.h"
#include "router/dispatch/peer_health.h"
#include "router/dispatch/worker_member.h"

namespace shoal {

// What was asked of one worker since it became a member.
struct WorkerTraffic {
  uint64_t calls = 0;
  uint64_t failed_calls = 0;   // That gave no result.
  uint64_t retried_calls = 0;  // Whose experts were sent to another replica.
  uint64_t answers = 0;
  uint64_t rows = 0;       // Of the answers.
  uint64_t bytes_out = 0;  // Whole frames.
  uint64_t bytes_in = 0;
  absl::Duration call_time;  // From calls to their answers, added up.
};

// The streams that calls go out on, one to each worker, and who may be asked for an expert. A
// worker keeps its place, a small number, for as long as it is a member. Owned by the engine's
// thread.
class WorkerLinks {
 public:
  enum class State : uint8_t { kDown, kDialling, kOpen };
  struct Worker {
    WorkerMember member;
    std::string name;      // For error texts: "worker 1 (127.0.0.1:7001)".
    bool present = false;  // False: the place is free.

    // As its health says.
    bool reachable = false;
    bool unfit = false;
    bool draining = false;
    ExpertSet resident;

    State state = State::kDown;
    LinkId link = 0;
    absl::Status closed;  // Why it last did.
    absl::Time redial_at = absl::InfinitePast();
    absl::Time dialled_at = absl::InfinitePast();
    absl::Duration backoff;

    int n_outstanding = 0;    // Calls sent and not ended.
    std::deque<int> waiting;  // Calls behind them, by their index in the step.
    absl::Time overdue_until = absl::InfinitePast();  // It owes an answer that others had to give.

    WorkerTraffic traffic;

    std::vector<absl::Time> corrupt;  // When frames were, the last of them.
    absl::Time ejected_until = absl::InfinitePast();
    absl::Duration ejection;
  };

  explicit WorkerLinks(Dialer* dialer) : dialer_(dialer) {}

  // Follows the members and what health says of them. Links of those that have left are closed and
  // added to `gone`. False when there was no place for every new one: they are taken in next time.
  bool Sync(const PeerViews& views, std::vector<LinkId>* gone);

  // Calls of the step before are forgotten.
  void BeginStep();

  // Dials what is down and due.
  void Dial(absl::Time now);
  // The end of that link; null when it is nobody's.
  Worker* Find(LinkId link);
  void OnOpened(Worker& worker);
  void OnClosed(Worker& worker, const absl::Status& why, absl::Time now);

  // It sent a corrupt frame: 3 within 60 s and it is asked last for 5 s, doubling up to 60 s if
  // that happens again soon.
  void OnCorrupt(Worker& worker, absl::Time now);

  // Those that may be asked for an expert of a layer, ascending, without `excluded`. Workers that
  // are draining, silent, overdue or ejected are among them only when nobody better is: the last
  // replica is never given up. Valid until the next call.
  std::span<const int> Candidates(int layer, int expert, const WorkerSet& excluded, absl::Time now);
  // Whether it would be chosen before others: nothing speaks against it but a drain.
  static bool Sound(const Worker& worker, absl::Time now) { return Penalty(worker, now) < kSilent; }

  // "; worker 1 (127.0.0.1:7001): peer closed the link", for each that is down; for error texts.
  std::string Troubles() const;

  Worker& at(int place) { return workers_[place]; }
  int size() const { return static_cast<int>(workers_.size()); }
  // One per place.
  std::span<const double> speeds() const { return speeds_; }

 private:
  // What speaks against asking a worker; the sum counts.
  static constexpr int kDraining = 1;
  static constexpr int kSilent = 2;
  static constexpr int kEjected = 4;
  static int Penalty(const Worker& worker, absl::Time now);

  int FreePlace(size_t n_before);
  static void Follow(Worker& worker, const PeerView& view);

  Dialer* const dialer_;
  std::deque<Worker> workers_;
  std::vector<double> speeds_;
  std::vector<int> candidates_;
};

}  // namespace shoal
