#include "router/dispatch/peer_pulse.h"

#include <algorithm>

namespace shoal {

void PeerPulse::Reset(absl::Time now) {
  unanswered_.clear();
  asked_ = absl::InfinitePast();
  heard_ = now;
}

bool PeerPulse::Due(absl::Time now) const {
  return now - asked_ >= kPeriod && unanswered_.size() < kMaxUnanswered;
}

uint64_t PeerPulse::Ask(absl::Time now) {
  asked_ = now;
  unanswered_.push_back({next_id_, now});
  return next_id_++;
}

std::optional<absl::Time> PeerPulse::OnAnswer(uint64_t id, absl::Time now) {
  const auto found = std::find_if(unanswered_.begin(), unanswered_.end(),
                                  [id](const Question& question) { return question.id == id; });
  if (found == unanswered_.end()) return std::nullopt;
  const absl::Time asked = found->asked;
  unanswered_.erase(unanswered_.begin(), found + 1);  // Earlier ones are answered by it, too.
  heard_ = now;
  round_trips_[n_round_trips_++ % round_trips_.size()] = now - asked;
  return asked;
}

absl::Duration PeerPulse::Limit() const {
  // A peer that was once silent for long must not have earned the right to be so for ever.
  return std::min(std::max(kSilence, 4 * Quantile(0.99)), 10 * kSilence);
}

absl::Duration PeerPulse::Quantile(double q) const {
  const size_t n = std::min(n_round_trips_, round_trips_.size());
  if (n == 0) return absl::ZeroDuration();
  std::array<absl::Duration, 128> sorted = round_trips_;
  const auto at = static_cast<size_t>(q * static_cast<double>(n - 1));
  std::nth_element(sorted.begin(), sorted.begin() + at, sorted.begin() + n);
  return sorted[at];
}

}  // namespace shoal
