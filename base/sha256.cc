#include "base/sha256.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <cstring>

#include "absl/strings/escaping.h"
#include "base/check.h"
#include "base/openssl_ptr.h"

namespace shoal {

struct Sha256Stream::Context {
  DigestContextPtr evp{EVP_MD_CTX_new()};
};

Sha256Stream::Sha256Stream() : context_(std::make_unique<Context>()) {
  SHOAL_CHECK_EQ(EVP_DigestInit_ex(context_->evp.get(), EVP_sha256(), nullptr), 1);
}

Sha256Stream::~Sha256Stream() = default;
Sha256Stream::Sha256Stream(Sha256Stream&&) noexcept = default;

void Sha256Stream::Update(std::span<const std::byte> bytes) {
  SHOAL_CHECK_EQ(EVP_DigestUpdate(context_->evp.get(), bytes.data(), bytes.size()), 1);
}

Sha256Digest Sha256Stream::Finish() {
  Sha256Digest digest;
  SHOAL_CHECK_EQ(EVP_DigestFinal_ex(context_->evp.get(),
                                    reinterpret_cast<unsigned char*>(digest.data()), nullptr),
                 1);
  SHOAL_CHECK_EQ(EVP_DigestInit_ex(context_->evp.get(), EVP_sha256(), nullptr), 1);
  return digest;
}

Sha256Digest Sha256(std::span<const std::byte> bytes) {
  Sha256Stream stream;
  stream.Update(bytes);
  return stream.Finish();
}

std::string Sha256Hex(std::span<const std::byte> bytes) { return ToHex(Sha256(bytes)); }

std::string ToHex(const Sha256Digest& digest) {
  return absl::BytesToHexString(DigestBytes(digest));
}

std::optional<Sha256Digest> DigestFromHex(std::string_view hex) {
  if (hex.size() != 2 * sizeof(Sha256Digest) ||
      hex.find_first_not_of("0123456789abcdef") != std::string_view::npos) {
    return std::nullopt;
  }
  return DigestFromBytes(absl::HexStringToBytes(std::string(hex)));
}

bool EqualInConstantTime(const Sha256Digest& a, const Sha256Digest& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::optional<Sha256Digest> DigestFromBytes(std::string_view bytes) {
  Sha256Digest digest;
  if (bytes.size() != digest.size()) return std::nullopt;
  std::memcpy(digest.data(), bytes.data(), digest.size());
  return digest;
}

std::string DigestBytes(const Sha256Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

}  // namespace shoal
