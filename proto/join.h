#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/ed25519.h"
#include "base/sha256.h"
#include "proto/credentials.h"
#include "proto/transport.h"

namespace shoal {

// A join token (S05): "1.<hex SHA-256 of the CA certificate>.<id>.<secret>", id 16 and secret 64
// hex digits. There is no way to log one.
struct JoinToken {
  Sha256Digest ca_digest = {};
  std::string id;
  std::string secret;
};
// InvalidArgument for anything else; the text never echoes in the message.
absl::StatusOr<JoinToken> ParseJoinToken(std::string_view text);
std::string FormatJoinToken(const JoinToken& token);

// The CA certificate that whoever listens at `address` shows. Nothing secret is sent: a TLS
// handshake, no more. PermissionDenied unless it has that digest and signed the listener's
// certificate.
using FetchCa = std::function<absl::StatusOr<std::string>(
    const std::string& address, const Sha256Digest& digest, absl::Time deadline)>;
absl::StatusOr<std::string> FetchCaCertificate(const std::string& address,
                                               const Sha256Digest& digest, absl::Time deadline);

// Proves the coordinator by the token's digest, and only then shows it the secret and gets a
// certificate for `key`. Tried again with the same key it costs no second use of the token: the
// answer may have been lost. `new_dialer` makes a dialer with the given credentials.
using DialerFactory =
    std::function<std::unique_ptr<Dialer>(std::shared_ptr<CredentialSource> credentials)>;
absl::StatusOr<Credentials> JoinCluster(const JoinToken& token, const std::string& coordinator,
                                        const FetchCa& fetch_ca, const DialerFactory& new_dialer,
                                        const Ed25519Key& key, absl::Time deadline);

}  // namespace shoal
