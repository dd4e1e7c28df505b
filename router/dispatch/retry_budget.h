#pragma once

#include <array>
#include <cstdint>

#include "absl/time/time.h"

namespace shoal {

// How many calls may be sent a second time only because their answer is slow (FAILURE-MODEL 4, F29:
// 10 % of the calls of the last 10 s, and 3 a second in any case). Pure; thread-compatible.
class RetryBudget {
 public:
  void OnCall(absl::Time now) { ++At(now).calls; }

  // Whether one more may be sent; counts it when so.
  bool TryTake(absl::Time now) {
    Second& current = At(now);
    uint64_t calls = 0;
    uint64_t taken = 0;
    for (const Second& second : seconds_) {
      if (current.number - second.number >= kSeconds) continue;
      calls += second.calls;
      taken += second.taken;
    }
    if (taken * 10 >= calls && current.taken >= 3) return false;
    ++current.taken;
    return true;
  }

 private:
  static constexpr int64_t kSeconds = 10;
  struct Second {
    int64_t number = -kSeconds;
    uint64_t calls = 0;
    uint64_t taken = 0;
  };

  Second& At(absl::Time now) {
    const int64_t number = absl::ToUnixSeconds(now);
    Second& second = seconds_[static_cast<size_t>(number % kSeconds)];
    if (second.number != number) second = {number, 0, 0};
    return second;
  }

  std::array<Second, kSeconds> seconds_;
};

}  // namespace shoal
