#pragma once

#include <grpc/grpc_security.h>
#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "proto/credentials.h"
#include "proto/identity.h"

namespace shoal {

// Mutual TLS 1.3 as gRPC is told of it (FAILURE-MODEL S01, S02).

// What gRPC reads from the environment when it is first used: no version of TLS below 1.3, and a
// quick poller of its own. Call before any of gRPC's objects exists; only the first call does
// anything.
void PrepareGrpc();

// For a channel; the server must show a certificate of the same CA (and of the name that the
// channel asks for).
std::shared_ptr<grpc::ChannelCredentials> ChannelCredentialsOf(const Credentials& credentials);

// A listener's side: each new connection is shown the certificate that `source` holds by then.
// Outlives the server. `admit_anonymous`: callers may come without a certificate.
class ServerTls {
 public:
  ServerTls(std::shared_ptr<CredentialSource> source, bool admit_anonymous);
  std::shared_ptr<grpc::ServerCredentials> credentials() const { return credentials_; }

 private:
  class Following;
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config);

  const std::shared_ptr<CredentialSource> source_;
  Mutex mu_;
  std::shared_ptr<const Credentials> shown_ SHOAL_GUARDED_BY(mu_);
  std::shared_ptr<grpc::ServerCredentials> credentials_;
};

// Who is at the other end of a connection: kNone without a certificate. PermissionDenied unless the
// certificate is a leaf for clients with exactly one URI name, of this cluster.
absl::StatusOr<NodeIdentity> PeerOf(const grpc::AuthContext& context,
                                    const std::string& cluster_id);

}  // namespace shoal
