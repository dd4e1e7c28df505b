#include "cli/wait_for_end.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <iterator>

namespace shoal {
namespace {

int BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);  // A peer that hangs up is an error of that write.
  return signalfd(-1, &signals, SFD_CLOEXEC);
}

// A supervisor's /dev/null, or a terminal, is no parent that could go.
bool InputIsAPipe() {
  struct stat info = {};
  return fstat(STDIN_FILENO, &info) == 0 && (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode));
}

}  // namespace

EndWaiter::EndWaiter() : signal_fd_(BlockSignals()) {}
EndWaiter::~EndWaiter() { close(signal_fd_); }

void EndWaiter::Wait() {
  pollfd waited[] = {{.fd = signal_fd_, .events = POLLIN, .revents = 0},
                     {.fd = InputIsAPipe() ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0}};
  while (true) {
    if (poll(waited, std::size(waited), -1) < 0 && errno != EINTR) return;
    if (waited[0].revents != 0) return;
    char ignored[256];
    if (waited[1].revents != 0 && read(STDIN_FILENO, ignored, sizeof(ignored)) <= 0) return;
  }
}

}  // namespace shoal
