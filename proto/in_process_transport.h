#pragma once

#include <memory>
#include <string>

#include "proto/transport.h"

namespace shoal {

class InProcessSwitch;

// A network inside one process: the same interfaces as the real one, over queues. Thread-safe.
class InProcessNetwork {
 public:
  InProcessNetwork();
  ~InProcessNetwork();  // Every listener and dialer is gone before.

  // AlreadyExists when the address is taken.
  absl::StatusOr<std::unique_ptr<Listener>> Listen(const std::string& address);
  std::unique_ptr<Dialer> NewDialer();

 private:
  std::unique_ptr<InProcessSwitch> switch_;
};

}  // namespace shoal
