#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/credentials.h"
#include "proto/transport.h"

namespace shoal {

// The real transport: one HTTP/2 stream of frames per link over mutual TLS 1.3, whole messages as
// raw bytes. gRPC's own retries are off, messages are capped both ways at kMaxMessageBytes, silent
// peers are found by keepalive (FAILURE-MODEL 4).
struct GrpcOptions {
  // Whom this node trusts and who it is. Null: no TLS, and only loopback addresses.
  std::shared_ptr<CredentialSource> credentials;
  // How long a wait polls before it lets the core go. Waking an idle core costs 40 to 50 us of a
  // round trip; polling pays only while every waiting process has a core to itself.
  absl::Duration spin = absl::ZeroDuration();
};

struct GrpcListenOptions {
  GrpcOptions transport;
  // The streams that are served; each has to be polled. Others are UNIMPLEMENTED. Empty: RunExperts
  // and Health.
  std::vector<StreamKind> kinds = {};
  // Callers without a certificate are let in as NodeRole::kNone: they may join or renew.
  bool admit_anonymous = false;
};

// Listens on "address:port"; port 0 takes a free one. Streams are refused, with PERMISSION_DENIED,
// to whoever may not call anything on them (proto/authorization.h). InvalidArgument: not an
// address, or without credentials not a loopback one. Unavailable: the port is taken.
absl::StatusOr<std::unique_ptr<Listener>> ListenGrpc(const std::string& address,
                                                     GrpcListenOptions options);

std::unique_ptr<Dialer> NewGrpcDialer(GrpcOptions options);

// InvalidArgument unless `address` is a numeric loopback address with a port: "127.0.0.1:7000" or
// "[::1]:7000".
absl::Status CheckLoopback(const std::string& address);

}  // namespace shoal
