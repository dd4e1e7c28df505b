#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/random.h"

namespace shoal {

// Ed25519 signatures (RFC 8032), by OpenSSL.
using Ed25519PublicKey = std::array<std::byte, 32>;
using Ed25519Signature = std::array<std::byte, 64>;

// A private key. It has no text form but Pem(), which goes to a file of mode 0600 and nowhere else.
class Ed25519Key {
 public:
  static Ed25519Key Generate(Random* random);
  static absl::StatusOr<Ed25519Key> FromPem(std::string_view pem);  // PKCS #8, not encrypted.
  std::string Pem() const;

  Ed25519PublicKey public_key() const;
  // Signs `purpose`, a zero byte, and `message`: a signature made for one purpose never passes for
  // another one's.
  Ed25519Signature Sign(std::string_view purpose, std::string_view message) const;

  // OpenSSL's EVP_PKEY*, for certificates. Lives as long as this key.
  void* evp() const { return evp_.get(); }

 private:
  explicit Ed25519Key(std::shared_ptr<void> evp) : evp_(std::move(evp)) {}
  std::shared_ptr<void> evp_;
};

bool VerifyEd25519(const Ed25519PublicKey& key, std::string_view purpose, std::string_view message,
                   const Ed25519Signature& signature);

}  // namespace shoal
