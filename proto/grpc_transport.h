#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/transport.h"

namespace shoal {

// The real transport: one HTTP/2 stream of frames per link, whole messages as raw bytes. gRPC's own
// retries are off, messages are capped both ways at kMaxMessageBytes, silent peers are found by
// keepalive (FAILURE-MODEL 4).
struct GrpcOptions {
  // How long a wait polls before it lets the core go. Waking an idle core costs 40 to 50 us of a
  // round trip; polling pays only while every waiting process has a core to itself.
  absl::Duration spin = absl::ZeroDuration();
};

// Listens on "address:port"; port 0 takes a free one. InvalidArgument: not a loopback address (S01:
// links are not encrypted yet, so nothing else is allowed) or not an address. Unavailable: the port
// is taken.
absl::StatusOr<std::unique_ptr<Listener>> ListenGrpc(const std::string& address,
                                                     GrpcOptions options);

std::unique_ptr<Dialer> NewGrpcDialer(GrpcOptions options);

// InvalidArgument unless `address` is a numeric loopback address with a port: "127.0.0.1:7000" or
// "[::1]:7000".
absl::Status CheckLoopback(const std::string& address);

}  // namespace shoal
