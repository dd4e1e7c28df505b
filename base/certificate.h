#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/ed25519.h"
#include "base/random.h"
#include "base/sha256.h"

namespace shoal {

// X.509 certificates and signing requests (RFC 5280, RFC 2986), by OpenSSL. Everything is PEM, and
// every key is Ed25519.

// What a certificate says. Whether it is true, CheckSignedBy or TLS knows.
struct CertificateFacts {
  std::vector<std::string> uri_names;  // Of its subject alternative names.
  std::vector<std::string> dns_names;
  bool is_ca = false;
  bool for_client = false;  // Extended key usages.
  bool for_server = false;
  absl::Time not_before;
  absl::Time not_after;
  Ed25519PublicKey public_key = {};
};

// A certificate authority's own certificate, signed by itself. `name` has 1 to 64 bytes.
absl::StatusOr<std::string> MakeCaCertificate(const Ed25519Key& key, std::string_view name,
                                              absl::Time not_before, absl::Time not_after,
                                              Random* random);

// A request for a certificate: the public key, and the proof that its owner asks.
absl::StatusOr<std::string> MakeCsr(const Ed25519Key& key);
// The key of a request whose signature holds. InvalidArgument for anything else, also for other
// kinds of key and requests above 8 KiB.
absl::StatusOr<Ed25519PublicKey> ReadCsr(std::string_view csr_pem);

struct LeafNames {
  std::string uri;               // spiffe://<cluster-id>/<role>/<node-id>
  std::vector<std::string> dns;  // What dialers expect a listener to be.
};
// A leaf for both ends of a connection: digital signatures, client and server, no authority.
// InvalidArgument when `ca_key` is not the key of `ca_pem`.
absl::StatusOr<std::string> IssueLeaf(const Ed25519Key& ca_key, std::string_view ca_pem,
                                      const Ed25519PublicKey& subject, const LeafNames& names,
                                      absl::Time not_before, absl::Time not_after, Random* random);

// InvalidArgument unless `pem` is exactly one certificate of at most 16 KiB.
absl::StatusOr<CertificateFacts> ReadCertificate(std::string_view pem);
// SHA-256 of a certificate's DER bytes: what join tokens pin.
absl::StatusOr<Sha256Digest> CertificateDigest(std::string_view pem);
// PermissionDenied unless `ca_pem` is an authority and signed `pem`. Looks at no clock.
absl::Status CheckSignedBy(std::string_view pem, std::string_view ca_pem);

}  // namespace shoal
