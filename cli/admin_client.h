#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "proto/frame_codec.h"
#include "proto/transport.h"

namespace shoal {

// The operator's line to a coordinator, by the certificate and the address that the coordinator
// left in its data directory. One request at a time. Thread-compatible.
class AdminClient {
 public:
  // FailedPrecondition when no coordinator has run with that data directory.
  static absl::StatusOr<std::unique_ptr<AdminClient>> Open(const std::string& data_dir);

  // The reply, or the coordinator's refusal, or Unavailable.
  absl::StatusOr<wire::ControlReply> Ask(wire::ControlRequest request);
  // All that the coordinator knows of its cluster.
  absl::StatusOr<wire::ClusterStatus> AskStatus();

 private:
  AdminClient(std::unique_ptr<Dialer> dialer, LinkId link)
      : dialer_(std::move(dialer)), link_(link) {}

  // The reply's frame, whose header is checked, within `event`.
  absl::StatusOr<Frame> Exchange(wire::ControlRequest request, LinkEvent* event);

  const std::unique_ptr<Dialer> dialer_;
  const LinkId link_;
  uint64_t last_id_ = 0;
};

}  // namespace shoal
