#pragma once

#include "absl/time/time.h"

namespace shoal {

// The time that timeouts and measurements use: it starts at the wall clock's when the process
// first asks and from then on only goes forward, at the monotonic clock's pace, whatever happens to
// the wall clock (FAILURE-MODEL I12). Never shown to users and never sent to another process.
absl::Time MonotonicNow();

// Time as state machines see it; injected, so that a test owns it. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() = 0;      // As MonotonicNow: for timeouts, leases, periods.
  virtual absl::Time WallNow() = 0;  // May jump: for certificates, tokens' expiry and logs only.
};

// The machine's clocks. Lives for ever.
Clock* SystemClock();

}  // namespace shoal
