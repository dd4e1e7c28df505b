#include "base/clock.h"

#include <chrono>

#include "absl/time/clock.h"

namespace shoal {

absl::Time MonotonicNow() {
  using SteadyClock = std::chrono::steady_clock;
  static const absl::Time start = absl::Now();
  static const SteadyClock::time_point steady_start = SteadyClock::now();
  return start + absl::FromChrono(SteadyClock::now() - steady_start);
}

namespace {

class MachineClock final : public Clock {
 public:
  absl::Time Now() override { return MonotonicNow(); }
  absl::Time WallNow() override { return absl::Now(); }
};

}  // namespace

Clock* SystemClock() {
  static auto* const clock = new MachineClock;
  return clock;
}

}  // namespace shoal
