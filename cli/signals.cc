#include "cli/signals.h"

#include <signal.h>

#include <algorithm>

#include "base/clock.h"

namespace shoal {
namespace {

sigset_t Watched() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGCHLD);
  return set;
}

}  // namespace

Signals::Signals() {
  const sigset_t set = Watched();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGCHLD, SIG_DFL);  // A parent that ignores it hands that on, and no child would be seen.
  signal(SIGPIPE, SIG_IGN);  // A peer that hangs up is an error of that write.
}

std::optional<int> Signals::WaitUntil(absl::Time deadline) {
  const sigset_t set = Watched();
  while (true) {
    const absl::Duration left = deadline - MonotonicNow();
    if (left <= absl::ZeroDuration()) return std::nullopt;
    const timespec timeout = absl::ToTimespec(std::min(left, absl::Hours(1)));
    const int signal = sigtimedwait(&set, nullptr, &timeout);
    if (signal > 0) return signal;
  }
}

int Signals::Wait() { return *WaitUntil(absl::InfiniteFuture()); }

}  // namespace shoal
