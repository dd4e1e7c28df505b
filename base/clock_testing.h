#pragma once

#include "absl/time/time.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace shoal {

// Time that a test moves. Both clocks go together unless SetWall parts them. Thread-safe.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(absl::Time start = absl::FromUnixSeconds(1790000000))
      : now_(start), wall_(start) {}

  absl::Time Now() override {
    MutexLock lock(&mu_);
    return now_;
  }
  absl::Time WallNow() override {
    MutexLock lock(&mu_);
    return wall_;
  }
  void Advance(absl::Duration duration) {
    MutexLock lock(&mu_);
    now_ += duration;
    wall_ += duration;
  }
  void SetWall(absl::Time wall) {
    MutexLock lock(&mu_);
    wall_ = wall;
  }

 private:
  Mutex mu_;
  absl::Time now_ SHOAL_GUARDED_BY(mu_);
  absl::Time wall_ SHOAL_GUARDED_BY(mu_);
};

}  // namespace shoal
