#pragma once

namespace shoal {

// How a role's process learns that it shall end. Make one before any other thread starts: SIGINT
// and SIGTERM are blocked from then on, in every thread.
class EndWaiter {
 public:
  EndWaiter();
  ~EndWaiter();
  EndWaiter(const EndWaiter&) = delete;
  EndWaiter& operator=(const EndWaiter&) = delete;

  // Until such a signal comes or, where standard input is a pipe, whoever holds its other end has
  // closed it.
  void Wait();

 private:
  const int signal_fd_;
};

}  // namespace shoal
