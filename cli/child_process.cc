#include "cli/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"

namespace shoal {
namespace {

absl::Status SystemError(const std::string& what) {
  return absl::InternalError(absl::StrCat(what, ": ", std::strerror(errno)));
}

// Waits until `fd` has something to read; false when `deadline` passed first.
bool WaitReadable(int fd, absl::Time deadline) {
  while (true) {
    const int64_t left_ms =
        absl::ToInt64Milliseconds(deadline - MonotonicNow() + absl::Milliseconds(1));
    pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
    const int timeout_ms =
        static_cast<int>(std::clamp<int64_t>(left_ms, 0, std::numeric_limits<int>::max()));
    const int n_ready = poll(&entry, 1, timeout_ms);
    if (n_ready > 0) return true;
    if (n_ready == 0 && MonotonicNow() >= deadline) return false;
    if (n_ready < 0 && errno != EINTR) return false;
  }
}

// This process's, but for options in SHOAL_* variables.
std::vector<char*> Environment() {
  std::vector<char*> kept;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    if (!text.starts_with("SHOAL_") || text.starts_with("SHOAL_ISA=")) kept.push_back(*variable);
  }
  kept.push_back(nullptr);
  return kept;
}

// The child's side of a fork: only calls that are safe there.
[[noreturn]] void Exec(char* const* argv, char* const* environment, int stdin_fd, int stdout_fd,
                       pid_t parent) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);  // The parent had died before it could be watched.
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(stdin_fd, STDIN_FILENO);
  dup2(stdout_fd, STDOUT_FILENO);
  execve("/proc/self/exe", argv, environment);
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(std::string name,
                                                                  std::vector<std::string> args,
                                                                  const std::string& input) {
  SHOAL_CHECK_LE(input.size(), size_t{4096});  // A pipe takes that much without a reader.
  args.insert(args.begin(), "shoal");
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  std::vector<char*> environment = Environment();
  int ends[2];
  int lifeline[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return SystemError(absl::StrCat(name, ": pipe"));
  if (pipe2(lifeline, O_CLOEXEC) != 0) {
    const absl::Status status = SystemError(absl::StrCat(name, ": pipe"));
    close(ends[0]);
    close(ends[1]);
    return status;
  }
  if (!input.empty() && write(lifeline[1], input.data(), input.size()) < 0) {
    const absl::Status status = SystemError(absl::StrCat(name, ": pipe"));
    for (const int fd : {ends[0], ends[1], lifeline[0], lifeline[1]}) close(fd);
    return status;
  }
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) Exec(argv.data(), environment.data(), lifeline[0], ends[1], parent);
  close(lifeline[0]);
  close(ends[1]);
  if (pid < 0) {
    close(lifeline[1]);
    close(ends[0]);
    return SystemError(absl::StrCat(name, ": fork"));
  }
  const int pid_fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));  // Closed by any exec.
  if (pid_fd < 0) {
    const absl::Status status = SystemError(absl::StrCat(name, ": pidfd_open"));
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    close(lifeline[1]);
    close(ends[0]);
    return status;
  }
  return std::unique_ptr<ChildProcess>(
      new ChildProcess(std::move(name), pid, pid_fd, lifeline[1], ends[0]));
}

ChildProcess::~ChildProcess() {
  Signal(SIGKILL);
  WaitUntil(absl::InfiniteFuture());
  close(pid_fd_);
  close(stdin_fd_);
  close(stdout_fd_);
}

absl::StatusOr<std::string> ChildProcess::ReadLine(absl::Time deadline) {
  while (true) {
    const size_t end = received_.find('\n');
    if (end != std::string::npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    if (!WaitReadable(stdout_fd_, deadline)) {
      return absl::UnavailableError(absl::StrCat(name_, " was not ready in time"));
    }
    char piece[512];
    const ssize_t n = read(stdout_fd_, piece, sizeof(piece));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      WaitUntil(deadline);
      return absl::UnavailableError(absl::StrCat(
          name_, " ended before it was ready: ", Ended().value_or("it closed its output")));
    }
    received_.append(piece, static_cast<size_t>(n));
  }
}

void ChildProcess::Signal(int signal) {
  if (!Ended().has_value()) kill(pid_, signal);
}

bool ChildProcess::WaitUntil(absl::Time deadline) {
  while (!Ended().has_value()) {
    if (!WaitReadable(pid_fd_, deadline)) return false;
  }
  return true;
}

std::optional<std::string> ChildProcess::Ended() {
  int status = 0;
  if (!ended_.has_value() && waitpid(pid_, &status, WNOHANG) == pid_) {
    ended_ = WIFSIGNALED(status) ? absl::StrCat("signal ", WTERMSIG(status))
                                 : absl::StrCat("exit status ", WEXITSTATUS(status));
  }
  return ended_;
}

}  // namespace shoal
