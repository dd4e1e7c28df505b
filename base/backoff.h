#pragma once

#include <algorithm>

#include "absl/time/time.h"
#include "base/random.h"

namespace shoal {

// How long to wait before the next attempt: twice as long after each, from `shortest` to `longest`,
// each time between half of that and all of it, so that nodes that failed together do not come
// back together. Thread-compatible.
class Backoff {
 public:
  Backoff(absl::Duration shortest, absl::Duration longest, Random* random)
      : shortest_(shortest), longest_(longest), random_(random), next_(shortest) {}

  absl::Duration Next() {
    const absl::Duration most = next_;
    next_ = std::min(next_ * 2, longest_);
    return most * (0.5 + 0.5 * static_cast<double>(random_->Next64() >> 11) / kTwoTo53);
  }
  void Reset() { next_ = shortest_; }

 private:
  static constexpr double kTwoTo53 = 9007199254740992.0;

  const absl::Duration shortest_;
  const absl::Duration longest_;
  Random* const random_;
  absl::Duration next_;
};

}  // namespace shoal
