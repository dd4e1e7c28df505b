#include "proto/grpc_tls.h"

#include <grpc/grpc_security_constants.h>
#include <openssl/crypto.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/certificate.h"

namespace shoal {
namespace {

// gRPC's threads may be opening a link while the process ends: OpenSSL must not go from under them.
// Said before main, because only what comes before any other use of it is heard.
[[maybe_unused]] const int kOpensslStays = OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr);

}  // namespace

void PrepareGrpc() {
  static const bool prepared = [] {
    // This version of gRPC has no setting for the version of TLS. It does have one for the cipher
    // suites of 1.2, which those of 1.3 do not obey: with only a suite for RSA certificates, which
    // nobody of ours has, a handshake of 1.2 finds nothing to agree on.
    setenv("GRPC_SSL_CIPHER_SUITES", "ECDHE-RSA-AES128-GCM-SHA256", /*overwrite=*/1);
    // While no thread waits on a dialer somebody must still read the answers to keepalive pings.
    // gRPC's own poller does, but by default only every 5 s, which is past the keepalive timeout.
    setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "250", /*overwrite=*/0);
    return true;
  }();
  (void)prepared;
}

std::shared_ptr<grpc::ChannelCredentials> ChannelCredentialsOf(const Credentials& credentials) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = credentials.ca_pem;
  options.pem_cert_chain = credentials.certificate_pem;
  if (!credentials.certificate_pem.empty()) options.pem_private_key = credentials.key_pem;
  return grpc::SslCredentials(options);
}

// What gRPC's C++ classes cannot do and its C functions can: ask for the certificate at each
// connection.
class ServerTls::Following final : public grpc::ServerCredentials {
 public:
  explicit Following(grpc_server_credentials* credentials) : credentials_(credentials) {}
  ~Following() override { grpc_server_credentials_release(credentials_); }
  // There is no metadata to process.
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  grpc_server_credentials* const credentials_;
};

ServerTls::ServerTls(std::shared_ptr<CredentialSource> source, bool admit_anonymous)
    : source_(std::move(source)) {
  const auto request = admit_anonymous ? GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY
                                       : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  credentials_ = std::make_shared<Following>(grpc_ssl_server_credentials_create_with_options(
      grpc_ssl_server_credentials_create_options_using_config_fetcher(request, &Fetch, this)));
}

grpc_ssl_certificate_config_reload_status ServerTls::Fetch(
    void* self, grpc_ssl_server_certificate_config** config) {
  auto& tls = *static_cast<ServerTls*>(self);
  auto current = tls.source_->Get();
  const MutexLock lock(&tls.mu_);
  if (current == tls.shown_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  // Who joins knows the CA's digest only, so the CA's certificate is shown too.
  const std::string chain = current->certificate_pem + current->ca_pem;
  const grpc_ssl_pem_key_cert_pair pair{current->key_pem.c_str(), chain.c_str()};
  *config = grpc_ssl_server_certificate_config_create(current->ca_pem.c_str(), &pair, 1);
  tls.shown_ = std::move(current);
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
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
