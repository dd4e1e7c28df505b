#include "cli/node.h"
#include "proto/grpc_transport.h"

namespace shoal {

NodeSeams MachineSeams() {
  return {.new_dialer =
              [](std::shared_ptr<CredentialSource> credentials) {
                return NewGrpcDialer({.credentials = std::move(credentials)});
              },
          .fetch_ca = FetchCaCertificate};
}

}  // namespace shoal
