#include "proto/grpc_tls.h"

#include <grpc/grpc_security_constants.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/certificate.h"
#include "base/status_macros.h"

namespace shoal {

// This version of gRPC has no setting for it. It does have one for the cipher suites of TLS 1.2,
// which those of 1.3 do not obey: with only a suite for RSA certificates, which nobody of ours has,
// a handshake of 1.2 finds nothing to agree on.
void RequireTls13() {
  setenv("GRPC_SSL_CIPHER_SUITES", "ECDHE-RSA-AES128-GCM-SHA256", /*overwrite=*/1);
}

std::shared_ptr<grpc::ChannelCredentials> ChannelCredentialsOf(const Credentials& credentials) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = credentials.ca_pem;
  options.pem_cert_chain = credentials.certificate_pem;
  if (!credentials.certificate_pem.empty()) options.pem_private_key = credentials.key_pem;
  return grpc::SslCredentials(options);
}

std::shared_ptr<grpc::ServerCredentials> ServerCredentialsOf(const Credentials& credentials,
                                                             bool admit_anonymous) {
  grpc::SslServerCredentialsOptions options(
      admit_anonymous ? GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY
                      : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = credentials.ca_pem;
  // Who joins knows the CA's digest only, so the CA's certificate is shown too.
  options.pem_key_cert_pairs.push_back(
      {credentials.key_pem, credentials.certificate_pem + credentials.ca_pem});
  return grpc::SslServerCredentials(options);
}

absl::StatusOr<NodeIdentity> PeerOf(const grpc::AuthContext& context,
                                    const std::string& cluster_id) {
  const auto pem = context.FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (pem.empty()) return NodeIdentity{};
  const auto facts = ReadCertificate({pem[0].data(), pem[0].size()});
  if (!facts.ok()) return absl::PermissionDeniedError(std::string(facts.status().message()));
  if (facts->is_ca || !facts->for_client) {
    return absl::PermissionDeniedError("the certificate is not one for nodes");
  }
  if (facts->uri_names.size() != 1) {
    return absl::PermissionDeniedError(absl::StrCat("the certificate has ", facts->uri_names.size(),
                                                    " URI names, exactly one is allowed"));
  }
  return ParseIdentityUri(facts->uri_names[0], cluster_id);
}

}  // namespace shoal
