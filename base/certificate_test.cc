#include "base/certificate.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kUri[] = "spiffe://cluster/worker/0123456789abcdef";

class CertificateTest : public testing::Test {
 protected:
  std::string Leaf(const LeafNames& names = {kUri, {"worker.shoal"}}) {
    return *IssueLeaf(ca_key_, ca_, key_.public_key(), names, now_ - absl::Minutes(5),
                      now_ + absl::Hours(1), SystemRandom());
  }

  const absl::Time now_ = absl::FromUnixSeconds(1790000000);
  const Ed25519Key ca_key_ = Ed25519Key::Generate(SystemRandom());
  const Ed25519Key key_ = Ed25519Key::Generate(SystemRandom());
  const std::string ca_ = *MakeCaCertificate(ca_key_, "shoal", now_ - absl::Minutes(5),
                                             now_ + absl::Hours(24), SystemRandom());
};

TEST_F(CertificateTest, ALeafSaysWhatItWasIssuedFor) {
  const auto facts = ReadCertificate(Leaf({kUri, {"worker.shoal", "01.worker.shoal"}}));
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_THAT(facts->uri_names, ElementsAre(kUri));
  EXPECT_THAT(facts->dns_names, ElementsAre("worker.shoal", "01.worker.shoal"));
  EXPECT_FALSE(facts->is_ca);
  EXPECT_TRUE(facts->for_client);
  EXPECT_TRUE(facts->for_server);
  EXPECT_EQ(facts->not_before, now_ - absl::Minutes(5));
  EXPECT_EQ(facts->not_after, now_ + absl::Hours(1));
  EXPECT_EQ(facts->public_key, key_.public_key());
}

TEST_F(CertificateTest, ACaIsACaAndHasNoNames) {
  const auto facts = ReadCertificate(ca_);
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_TRUE(facts->is_ca);
  EXPECT_THAT(facts->uri_names, ElementsAre());
  EXPECT_FALSE(facts->for_server);
  EXPECT_EQ(facts->public_key, ca_key_.public_key());
}

TEST_F(CertificateTest, DigestsNameOneCertificate) {
  EXPECT_EQ(*CertificateDigest(ca_), *CertificateDigest(ca_ + "\n"));
  EXPECT_NE(*CertificateDigest(ca_), *CertificateDigest(Leaf()));
  EXPECT_NE(*CertificateDigest(Leaf()), *CertificateDigest(Leaf()));  // Serial numbers differ.
}

TEST_F(CertificateTest, ARequestProvesItsKey) {
  const std::string csr = *MakeCsr(key_);
  EXPECT_EQ(*ReadCsr(csr), key_.public_key());
}

TEST_F(CertificateTest, ADamagedRequestIsRefused) {
  const std::string csr = *MakeCsr(key_);
  const size_t begin = csr.find('\n') + 1;
  const size_t end = csr.find("\n-----END");
  int n_refused = 0;
  for (size_t i = begin; i < end; ++i) {
    if (csr[i] == '\n' || csr[i] == '=') continue;
    std::string damaged = csr;
    damaged[i] = damaged[i] == 'A' ? 'B' : 'A';
    const auto key = ReadCsr(damaged);
    // The last letter before '=' has bits that mean nothing.
    if (key.ok()) {
      EXPECT_EQ(csr[i + 1], '=') << i;
      continue;
    }
    ++n_refused;
  }
  EXPECT_GT(n_refused, 150);
}

TEST_F(CertificateTest, WhatIsNoneOfTheseIsRefused) {
  EXPECT_THAT(std::string(ReadCertificate("hello").status().message()),
              HasSubstr("not a certificate in PEM"));
  EXPECT_THAT(std::string(ReadCertificate(ca_ + Leaf()).status().message()),
              HasSubstr("more than one"));
  EXPECT_THAT(std::string(ReadCertificate(std::string(9000, 'a')).status().message()),
              HasSubstr("9000 bytes, at most 8192"));
  EXPECT_THAT(std::string(ReadCsr(ca_).status().message()), HasSubstr("not a certificate request"));
  EXPECT_THAT(std::string(ReadCsr(std::string(9000, 'a')).status().message()),
              HasSubstr("at most 8192"));
}

// A request with a key of another kind; made with `openssl req -new -newkey ec`.
TEST_F(CertificateTest, OtherKindsOfKeysAreRefused) {
  constexpr char kEcCsr[] = R"(-----BEGIN CERTIFICATE REQUEST-----
MIHGMG4CAQAwDDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA
BME0V4KH0IBzxUfN+aiT0EWLZ7nfWHzentGgoUQBLu5Eeb6YSEU+7zee25+HsHsB
eIoqq1qvXkxWEl07+eyYakOgADAKBggqhkjOPQQDAgNIADBFAiAhhvsE44Vx5jWo
B3+IfTgJBmC36VvrGE6yHu7CwxRW5AIhALxV/VF0w4fIFZosTltZPjJLGKAmR5CC
4XI33cgybccc
-----END CERTIFICATE REQUEST-----
)";
  EXPECT_THAT(std::string(ReadCsr(kEcCsr).status().message()), HasSubstr("not an Ed25519 key"));
}

}  // namespace
}  // namespace shoal
