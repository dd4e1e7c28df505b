#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>

#include "absl/time/time.h"

namespace shoal {

// Questions to one peer and its answers: how long they take, and whether it has fallen silent
// (FAILURE-MODEL 4: suspect after max(300 ms, 4 x p99) without an answer). Pure; thread-compatible.
class PeerPulse {
 public:
  static constexpr absl::Duration kPeriod = absl::Milliseconds(100);
  static constexpr absl::Duration kSilence = absl::Milliseconds(300);
  static constexpr size_t kMaxUnanswered = 16;  // No more questions are put to a peer that is mute.

  // A link opened: nothing is under way, and the peer has until then been heard.
  void Reset(absl::Time now);

  // Whether the next question is due.
  bool Due(absl::Time now) const;
  // Makes it due.
  void AskAtOnce() { asked_ = absl::InfinitePast(); }
  // Number of the question that is put now.
  uint64_t Ask(absl::Time now);

  // When the question was put that this answers; nothing when none of that number is under way.
  std::optional<absl::Time> OnAnswer(uint64_t id, absl::Time now);

  // Whether it has not answered for too long.
  bool Silent(absl::Time now) const { return now - heard_ > Limit(); }
  absl::Duration Limit() const;
  absl::Duration SilentFor(absl::Time now) const { return now - heard_; }
  // This process itself stood still for `pause`: nobody's silence.
  void Excuse(absl::Duration pause) { heard_ += pause; }

 private:
  struct Question {
    uint64_t id = 0;
    absl::Time asked;
  };
  absl::Duration Quantile(double q) const;

  uint64_t next_id_ = 1;
  absl::Time asked_ = absl::InfinitePast();
  absl::Time heard_ = absl::InfinitePast();
  std::deque<Question> unanswered_;  // In the order of asking.
  std::array<absl::Duration, 128> round_trips_;
  size_t n_round_trips_ = 0;  // Ever; the last of them are kept.
};

}  // namespace shoal
