#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace shoal {

// A process that this one has started: in a process group of its own, so that the terminal's Ctrl-C
// reaches this process only, and told to end when this process dies. Thread-compatible.
class ChildProcess {
 public:
  // Runs this very program with `args`. Its standard output is a pipe to here; its standard input
  // is one that stays silent and closes when this process goes, however that happens; standard
  // error is shared, and so is the environment but for options in SHOAL_* variables, which were
  // this process's. `name` is what messages call it; `input`, at most 4 KiB, is what standard
  // input holds at first: a secret that no other process sees.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(std::string name,
                                                             std::vector<std::string> args,
                                                             const std::string& input = "");
  // Kills it if it still runs, and waits for it.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // The next line of its standard output, without the line break. Unavailable when it ended or said
  // nothing before `deadline`, with how it ended.
  absl::StatusOr<std::string> ReadLine(absl::Time deadline);

  void Signal(int signal);
  // Waits until it has ended; false when that did not happen before `deadline`.
  bool WaitUntil(absl::Time deadline);
  // How it ended, "exit status 1" or "signal 9"; nothing while it runs. Never waits.
  std::optional<std::string> Ended();

  const std::string& name() const { return name_; }
  pid_t pid() const { return pid_; }
  int pid_fd() const { return pid_fd_; }  // Becomes readable when it has ended.

 private:
  ChildProcess(std::string name, pid_t pid, int pid_fd, int stdin_fd, int stdout_fd)
      : name_(std::move(name)),
        pid_(pid),
        pid_fd_(pid_fd),
        stdin_fd_(stdin_fd),
        stdout_fd_(stdout_fd) {}

  const std::string name_;
  const pid_t pid_;
  const int pid_fd_;     // Becomes readable when the process has ended.
  const int stdin_fd_;   // The writing end of its standard input.
  const int stdout_fd_;  // The reading end of its standard output.
  std::string received_;
  std::optional<std::string> ended_;
};

}  // namespace shoal
