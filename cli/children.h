#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/child_process.h"
#include "cli/restart_timer.h"

namespace shoal {

// Processes of this very program that are kept running. They end when this object does, and also
// when this process dies. Thread-compatible.
class Children {
 public:
  struct Child {
    std::string name;
    std::vector<std::string> args;  // Of every later start.
    std::unique_ptr<ChildProcess> process;
    RestartTimer restart;
  };

  ~Children();  // As Stop, without any time.

  // Starts one more. `first_args` and `input` (as of ChildProcess) are for this start alone. The
  // result stays where it is.
  absl::StatusOr<Child*> Start(std::string name, std::vector<std::string> args,
                               const std::vector<std::string>& first_args = {},
                               const std::string& input = "");

  // Starts again whoever has ended: at once, or after a while of up to 30 s if that happens again
  // and again. Call it after each SIGCHLD and at next_restart(). Never waits.
  void Mend();
  absl::Time next_restart() const;

  // "worker 1: signal 9" when one has ended by itself; nothing while all run. Never waits.
  std::optional<std::string> Ended();

  // Until one has ended, or the deadline.
  void WaitForEnd(absl::Time deadline);

  // Asks all to end, the first one last, as others may need it; kills those that take longer than
  // `time`. None is left afterwards.
  void Stop(absl::Duration time);

 private:
  std::deque<Child> children_;
};

// Makes a child take `value` for an option from its next start on.
void SetArg(Children::Child* child, const std::string& option, std::string value);

// The address in the line of JSON that a coordinator or worker prints once it listens.
absl::StatusOr<std::string> ReadPeerAddress(ChildProcess& process, absl::Time deadline);

}  // namespace shoal
