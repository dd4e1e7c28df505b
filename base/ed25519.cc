#include "base/ed25519.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/check.h"
#include "base/openssl_ptr.h"

namespace shoal {
namespace {

constexpr size_t kSeedBytes = 32;

struct KeyFree {
  void operator()(void* key) const { EVP_PKEY_free(static_cast<EVP_PKEY*>(key)); }
};

std::shared_ptr<void> OwnKey(EVP_PKEY* key) { return {static_cast<void*>(key), KeyFree()}; }

const unsigned char* Raw(const void* bytes) { return static_cast<const unsigned char*>(bytes); }

// What is signed: the purpose, a zero byte, the message.
std::string SignedBytes(std::string_view purpose, std::string_view message) {
  std::string bytes;
  bytes.reserve(purpose.size() + 1 + message.size());
  bytes.append(purpose).push_back('\0');
  return bytes.append(message);
}

}  // namespace

Ed25519Key Ed25519Key::Generate(Random* random) {
  std::array<std::byte, kSeedBytes> seed;
  random->Fill(seed);
  EVP_PKEY* key =
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, Raw(seed.data()), seed.size());
  OPENSSL_cleanse(seed.data(), seed.size());
  SHOAL_CHECK(key != nullptr);
  return Ed25519Key(OwnKey(key));
}

absl::StatusOr<Ed25519Key> Ed25519Key::FromPem(std::string_view pem) {
  constexpr size_t kMaxPemBytes = 4096;  // Ours have 119.
  if (pem.size() > kMaxPemBytes) {
    return absl::InvalidArgumentError("a private key's PEM is above 4096 bytes");
  }
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  SHOAL_CHECK(bio != nullptr);
  const std::shared_ptr<void> key =
      OwnKey(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassword, nullptr));
  ERR_clear_error();
  if (key == nullptr) {
    return absl::InvalidArgumentError("not an unencrypted private key in PEM (PKCS #8)");
  }
  const int kind = EVP_PKEY_id(static_cast<EVP_PKEY*>(key.get()));
  if (kind != EVP_PKEY_ED25519) {
    const char* name = OBJ_nid2sn(kind);
    return absl::InvalidArgumentError(std::string("a private key of kind ") +
                                      (name != nullptr ? name : "?") + ", ED25519 expected");
  }
  return Ed25519Key(key);
}

std::string Ed25519Key::Pem() const {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  SHOAL_CHECK(bio != nullptr);
  SHOAL_CHECK_EQ(PEM_write_bio_PKCS8PrivateKey(bio.get(), static_cast<EVP_PKEY*>(evp_.get()),
                                               nullptr, nullptr, 0, nullptr, nullptr),
                 1);
  char* data = nullptr;
  const long n = BIO_get_mem_data(bio.get(), &data);
  std::string pem(data, static_cast<size_t>(n));
  OPENSSL_cleanse(data, static_cast<size_t>(n));
  return pem;
}

Ed25519PublicKey Ed25519Key::public_key() const {
  Ed25519PublicKey key;
  size_t n = key.size();
  SHOAL_CHECK_EQ(EVP_PKEY_get_raw_public_key(static_cast<EVP_PKEY*>(evp_.get()),
                                             reinterpret_cast<unsigned char*>(key.data()), &n),
                 1);
  SHOAL_CHECK_EQ(n, key.size());
  return key;
}

Ed25519Signature Ed25519Key::Sign(std::string_view purpose, std::string_view message) const {
  const std::string bytes = SignedBytes(purpose, message);
  const DigestContextPtr context(EVP_MD_CTX_new());
  SHOAL_CHECK_EQ(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr,
                                    static_cast<EVP_PKEY*>(evp_.get())),
                 1);
  Ed25519Signature signature;
  size_t n = signature.size();
  SHOAL_CHECK_EQ(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()),
                                &n, Raw(bytes.data()), bytes.size()),
                 1);
  SHOAL_CHECK_EQ(n, signature.size());
  return signature;
}

bool VerifyEd25519(const Ed25519PublicKey& key, std::string_view purpose, std::string_view message,
                   const Ed25519Signature& signature) {
  const std::shared_ptr<void> evp =
      OwnKey(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, Raw(key.data()), key.size()));
  if (evp == nullptr) return false;
  const std::string bytes = SignedBytes(purpose, message);
  const DigestContextPtr context(EVP_MD_CTX_new());
  const bool holds = EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr,
                                          static_cast<EVP_PKEY*>(evp.get())) == 1 &&
                     EVP_DigestVerify(context.get(), Raw(signature.data()), signature.size(),
                                      Raw(bytes.data()), bytes.size()) == 1;
  ERR_clear_error();
  return holds;
}

}  // namespace shoal
