#pragma once

#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "proto/credentials.h"
#include "proto/identity.h"

namespace shoal {

// Mutual TLS 1.3 as gRPC is told of it (FAILURE-MODEL S01, S02).

// Leaves gRPC no version of TLS below 1.3. Call before any of gRPC's objects exists.
void RequireTls13();

// For a channel; the server must show a certificate of the same CA (and of the name that the
// channel asks for).
std::shared_ptr<grpc::ChannelCredentials> ChannelCredentialsOf(const Credentials& credentials);

// For a listener. `admit_anonymous`: callers may come without a certificate.
std::shared_ptr<grpc::ServerCredentials> ServerCredentialsOf(const Credentials& credentials,
                                                             bool admit_anonymous);

// Who is at the other end of a connection: kNone without a certificate. PermissionDenied unless the
// certificate is a leaf for clients with exactly one URI name, of this cluster.
absl::StatusOr<NodeIdentity> PeerOf(const grpc::AuthContext& context,
                                    const std::string& cluster_id);

}  // namespace shoal
