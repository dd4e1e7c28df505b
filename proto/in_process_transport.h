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

  // AlreadyExists when the address is taken. Dialers meet `self` there, or nobody.
  absl::StatusOr<std::unique_ptr<Listener>> Listen(const std::string& address,
                                                   NodeIdentity self = kTestWorker);
  std::unique_ptr<Dialer> NewDialer(NodeIdentity self = kTestRouter);

  static const NodeIdentity kTestWorker;
  static const NodeIdentity kTestRouter;

 private:
  std::unique_ptr<InProcessSwitch> switch_;
};

}  // namespace shoal
