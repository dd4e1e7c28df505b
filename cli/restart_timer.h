#pragma once

#include <algorithm>

#include "absl/time/time.h"

namespace shoal {

// When to start a process again that has ended by itself: at once after it has run for a while,
// else after 100 ms, twice that, and so on up to 30 s (FAILURE-MODEL S16).
class RestartTimer {
 public:
  void OnStart(absl::Time now) {
    started_ = now;
    at_ = absl::InfiniteFuture();
  }
  // Keeps the first answer until the next OnStart.
  void OnEnd(absl::Time now) {
    if (at_ != absl::InfiniteFuture()) return;
    if (now - started_ > kSteady) delay_ = absl::ZeroDuration();
    at_ = now + delay_;
    delay_ = std::clamp(delay_ * 2, absl::Milliseconds(100), absl::Seconds(30));
  }
  absl::Time at() const { return at_; }  // InfiniteFuture while it runs.

 private:
  static constexpr absl::Duration kSteady = absl::Seconds(10);
  absl::Time started_;
  absl::Time at_ = absl::InfiniteFuture();
  absl::Duration delay_;
};

}  // namespace shoal
