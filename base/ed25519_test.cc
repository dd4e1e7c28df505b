#include "base/ed25519.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <string>

#include "base/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

// Gives the same 32 bytes for ever.
class FixedRandom final : public Random {
 public:
  explicit FixedRandom(std::string_view hex) : seed_(*DigestFromHex(hex)) {}
  void Fill(std::span<std::byte> out) override {
    for (size_t i = 0; i < out.size(); ++i) out[i] = seed_[i % seed_.size()];
  }

 private:
  const Sha256Digest seed_;
};

// RFC 8032, section 7.1, test 1.
TEST(Ed25519Test, DerivesTheStandardsPublicKey) {
  FixedRandom random("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
  EXPECT_EQ(ToHex(Ed25519Key::Generate(&random).public_key()),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
}

TEST(Ed25519Test, ASignatureHoldsForItsKeyPurposeAndMessageOnly) {
  const Ed25519Key key = Ed25519Key::Generate(SystemRandom());
  const Ed25519Key other = Ed25519Key::Generate(SystemRandom());
  const Ed25519Signature signature = key.Sign("manifest", "message");
  EXPECT_TRUE(VerifyEd25519(key.public_key(), "manifest", "message", signature));
  EXPECT_FALSE(VerifyEd25519(other.public_key(), "manifest", "message", signature));
  EXPECT_FALSE(VerifyEd25519(key.public_key(), "snapshot", "message", signature));
  EXPECT_FALSE(VerifyEd25519(key.public_key(), "manifest", "massage", signature));
  EXPECT_FALSE(VerifyEd25519(key.public_key(), "manifest", "", signature));
  // Where the purpose ends is signed too.
  EXPECT_FALSE(VerifyEd25519(key.public_key(), "manifestm", "essage", signature));
}

TEST(Ed25519Test, AnyChangedBitOfASignatureOrKeyIsRefused) {
  const Ed25519Key key = Ed25519Key::Generate(SystemRandom());
  const Ed25519Signature signature = key.Sign("purpose", "message");
  for (size_t bit = 0; bit < 8 * signature.size(); ++bit) {
    Ed25519Signature changed = signature;
    changed[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_FALSE(VerifyEd25519(key.public_key(), "purpose", "message", changed)) << bit;
  }
  for (size_t bit = 0; bit < 256; ++bit) {
    Ed25519PublicKey changed = key.public_key();
    changed[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_FALSE(VerifyEd25519(changed, "purpose", "message", signature)) << bit;
  }
}

TEST(Ed25519Test, AKeyComesBackFromItsPem) {
  const Ed25519Key key = Ed25519Key::Generate(SystemRandom());
  const auto again = Ed25519Key::FromPem(key.Pem());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->public_key(), key.public_key());
  EXPECT_TRUE(VerifyEd25519(key.public_key(), "p", "m", again->Sign("p", "m")));
}

TEST(Ed25519Test, WhatIsNotAKeyIsRefused) {
  const std::string pem = Ed25519Key::Generate(SystemRandom()).Pem();
  for (const std::string& bad : {std::string(), std::string("hello"), pem.substr(0, pem.size() / 2),
                                 std::string(5000, 'x')}) {
    EXPECT_EQ(Ed25519Key::FromPem(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(Ed25519Test, AnotherKindOfKeyIsRefusedByName) {
  EVP_PKEY* key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
  ASSERT_NE(key, nullptr);
  BIO* bio = BIO_new(BIO_s_mem());
  ASSERT_EQ(PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr), 1);
  char* data = nullptr;
  const long n = BIO_get_mem_data(bio, &data);
  const std::string pem(data, static_cast<size_t>(n));
  BIO_free(bio);
  EVP_PKEY_free(key);
  EXPECT_THAT(std::string(Ed25519Key::FromPem(pem).status().message()),
              HasSubstr("id-ecPublicKey, ED25519 expected"));
}

TEST(Ed25519Test, AKeyUnderAPasswordIsRefusedWithoutAsking) {
  const Ed25519Key key = Ed25519Key::Generate(SystemRandom());
  BIO* bio = BIO_new(BIO_s_mem());
  unsigned char password[] = "password";
  ASSERT_EQ(PEM_write_bio_PrivateKey(bio, static_cast<EVP_PKEY*>(key.evp()), EVP_aes_128_cbc(),
                                     password, 8, nullptr, nullptr),
            1);
  char* data = nullptr;
  const long n = BIO_get_mem_data(bio, &data);
  const std::string pem(data, static_cast<size_t>(n));
  BIO_free(bio);
  EXPECT_THAT(std::string(Ed25519Key::FromPem(pem).status().message()),
              HasSubstr("not an unencrypted private key"));
}

}  // namespace
}  // namespace shoal
