#pragma once

#include <optional>

#include "absl/time/time.h"

namespace shoal {

// Turns SIGINT, SIGTERM and SIGCHLD into values that a thread waits for. Make one before any other
// thread starts: the signals are blocked from then on, in every thread.
class Signals {
 public:
  Signals();

  // The next signal; nothing when `deadline` passed first.
  std::optional<int> WaitUntil(absl::Time deadline);
  int Wait();
};

}  // namespace shoal
