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

}  // namespace shoal
