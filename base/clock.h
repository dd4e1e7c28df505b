#pragma once

#include "absl/time/time.h"

namespace shoal {

// The time that timeouts and measurements use: it starts at the wall clock's when the process
// first asks and from then on only goes forward, at the monotonic clock's pace, whatever happens to
// the wall clock (FAILURE-MODEL I12). Never shown to users and never sent to another process.
absl::Time MonotonicNow();

}  // namespace shoal
