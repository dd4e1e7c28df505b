#include "base/certificate.h"

#include <openssl/pem.h>

#include "base/openssl_ptr.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const absl::Time kBegin = absl::FromUnixSeconds(1'700'000'000);
const absl::Time kEnd = kBegin + absl::Hours(24 * 7);
const LeafNames kNames{.uri = "spiffe://c1/worker/0123456789abcdef",
                       .dns = {"worker.shoal", "0123456789abcdef.worker.shoal"}};

struct Authority {
  Ed25519Key key = Ed25519Key::Generate(SystemRandom());
  std::string pem = *MakeCaCertificate(key, "shoal cluster c1", kBegin, kEnd, SystemRandom());
};

absl::StatusOr<std::string> Issue(const Authority& ca, const Ed25519Key& key,
                                  const LeafNames& names = kNames) {
  return IssueLeaf(ca.key, ca.pem, key.public_key(), names, kBegin, kEnd, SystemRandom());
}

// The DER bytes of a PEM block with one bit turned over, as PEM again.
std::string Flip(const std::string& pem, size_t at) {
  const BioPtr in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
  EXPECT_EQ(PEM_read_bio(in.get(), &name, &header, &data, &size), 1);
  data[at % static_cast<size_t>(size)] ^= 1;
  const BioPtr out(BIO_new(BIO_s_mem()));
  PEM_write_bio(out.get(), name, header, data, size);
  OPENSSL_free(name);
  OPENSSL_free(header);
  OPENSSL_free(data);
  const char* text = nullptr;
  const long n = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<size_t>(n)};
}

TEST(CertificateTest, AuthorityReadsBackAsWritten) {
  const Authority ca;
  const auto facts = ReadCertificate(ca.pem);
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_TRUE(facts->is_ca);
  EXPECT_FALSE(facts->for_client);
  EXPECT_FALSE(facts->for_server);
  EXPECT_EQ(facts->not_before, kBegin);
  EXPECT_EQ(facts->not_after, kEnd);
  EXPECT_EQ(facts->public_key, ca.key.public_key());
  EXPECT_THAT(facts->uri_names, IsEmpty());
  EXPECT_TRUE(CheckSignedBy(ca.pem, ca.pem).ok());
}

TEST(CertificateTest, LeafReadsBackAsWritten) {
  const Authority ca;
  const Ed25519Key key = Ed25519Key::Generate(SystemRandom());
  const auto pem = Issue(ca, key);
  ASSERT_TRUE(pem.ok()) << pem.status();
  const auto facts = ReadCertificate(*pem);
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_FALSE(facts->is_ca);
  EXPECT_TRUE(facts->for_client);
  EXPECT_TRUE(facts->for_server);
  EXPECT_EQ(facts->not_before, kBegin);
  EXPECT_EQ(facts->not_after, kEnd);
  EXPECT_EQ(facts->public_key, key.public_key());
  EXPECT_THAT(facts->uri_names, ElementsAre(kNames.uri));
  EXPECT_THAT(facts->dns_names, ElementsAre(kNames.dns[0], kNames.dns[1]));
  EXPECT_TRUE(CheckSignedBy(*pem, ca.pem).ok());
}

TEST(CertificateTest, DigestIsOfTheBytesBehindTheText) {
  const Authority a;
  const Authority b;
  ASSERT_TRUE(CertificateDigest(a.pem).ok());
  EXPECT_EQ(*CertificateDigest(a.pem), *CertificateDigest(a.pem + "\n \n"));
  EXPECT_NE(*CertificateDigest(a.pem), *CertificateDigest(b.pem));
}

TEST(CertificateTest, SignatureOfAnotherAuthorityIsRefused) {
  const Authority ca;
  const Authority other;  // Same name, another key.
  const Ed25519Key key = Ed25519Key::Generate(SystemRandom());
  const std::string pem = *Issue(ca, key);
  EXPECT_EQ(CheckSignedBy(pem, other.pem).code(), absl::StatusCode::kPermissionDenied);
  const std::string child = *Issue(ca, other.key);
  EXPECT_EQ(CheckSignedBy(*Issue(other, key), child).code(), absl::StatusCode::kPermissionDenied)
      << "a leaf signs nothing";
}

TEST(CertificateTest, NoChangedBitIsSignedStill) {
  const Authority ca;
  const std::string pem = *Issue(ca, Ed25519Key::Generate(SystemRandom()));
  for (size_t at = 0; at < pem.size() / 2; ++at) {
    EXPECT_FALSE(CheckSignedBy(Flip(pem, at), ca.pem).ok()) << "byte " << at;
  }
}

TEST(CertificateTest, AuthorityNeedsItsOwnKey) {
  const Authority ca;
  const Authority other;
  const auto pem =
      IssueLeaf(other.key, ca.pem, other.key.public_key(), kNames, kBegin, kEnd, SystemRandom());
  EXPECT_EQ(pem.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(pem.status().message()), HasSubstr("do not belong together"));
}

TEST(CertificateTest, NamesOutsideTheirBoundsAreRefused) {
  const Authority ca;
  const Ed25519Key key = Ed25519Key::Generate(SystemRandom());
  for (const std::string& name : {std::string(), std::string(256, 'a'), std::string("a b"),
                                  std::string("a\0b", 3), std::string("\xc3\xa4")}) {
    EXPECT_EQ(Issue(ca, key, {.uri = name, .dns = {}}).status().code(),
              absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(Issue(ca, key, {.uri = "a", .dns = {name}}).status().code(),
              absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(Issue(ca, key, {.uri = "a,URI:b", .dns = {}}).ok());
  }
  EXPECT_THAT(ReadCertificate(*Issue(ca, key, {.uri = "a,URI:b", .dns = {}}))->uri_names,
              ElementsAre("a,URI:b"));
  EXPECT_FALSE(MakeCaCertificate(key, "", kBegin, kEnd, SystemRandom()).ok());
  EXPECT_FALSE(MakeCaCertificate(key, std::string(65, 'a'), kBegin, kEnd, SystemRandom()).ok());
}

TEST(CertificateTest, EndBeforeBeginIsRefused) {
  const Ed25519Key key = Ed25519Key::Generate(SystemRandom());
  EXPECT_FALSE(MakeCaCertificate(key, "a", kEnd, kBegin, SystemRandom()).ok());
  EXPECT_FALSE(MakeCaCertificate(key, "a", kEnd, kEnd, SystemRandom()).ok());
  const auto late = MakeCaCertificate(key, "a", kBegin, absl::FromUnixSeconds(4'000'000'000),
                                      SystemRandom());  // Past 2050: another form of time.
  ASSERT_TRUE(late.ok()) << late.status();
  EXPECT_EQ(ReadCertificate(*late)->not_after, absl::FromUnixSeconds(4'000'000'000));
}

TEST(CertificateTest, OnlyOneWholeCertificateIsRead) {
  const Authority ca;
  const std::string csr = *MakeCsr(ca.key);
  for (const std::string& text :
       {std::string(), std::string("-----BEGIN CERTIFICATE-----\n"), ca.pem + ca.pem, ca.pem + "x",
        "x" + ca.pem, ca.pem.substr(0, ca.pem.size() / 2), csr, ca.key.Pem(),
        ca.pem + std::string(16 << 10, ' '),
        std::string("-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: "
                    "AES-128-CBC,00000000000000000000000000000000\n\nAAAA\n"
                    "-----END CERTIFICATE-----\n")}) {
    EXPECT_EQ(ReadCertificate(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(CertificateDigest(text).status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_FALSE(CheckSignedBy(text, ca.pem).ok());
    EXPECT_FALSE(CheckSignedBy(ca.pem, text).ok());
  }
  EXPECT_TRUE(ReadCertificate(ca.pem + "\n\n").ok());
}

TEST(CsrTest, KeyReadsBackAsWritten) {
  const Ed25519Key key = Ed25519Key::Generate(SystemRandom());
  const auto csr = MakeCsr(key);
  ASSERT_TRUE(csr.ok()) << csr.status();
  const auto read = ReadCsr(*csr);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, key.public_key());
}

TEST(CsrTest, NoChangedBitIsReadStill) {
  const std::string csr = *MakeCsr(Ed25519Key::Generate(SystemRandom()));
  for (size_t at = 0; at < csr.size() / 2; ++at) {
    EXPECT_EQ(ReadCsr(Flip(csr, at)).status().code(), absl::StatusCode::kInvalidArgument)
        << "byte " << at;
  }
}

TEST(CsrTest, OtherTextsAndKeysAreRefused) {
  const Authority ca;
  const std::string csr = *MakeCsr(ca.key);
  for (const std::string& text : {std::string(), ca.pem, csr + csr, "x" + csr,
                                  csr + std::string(8 << 10, '\n'), ca.key.Pem()}) {
    EXPECT_EQ(ReadCsr(text).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_THAT(std::string(ReadCsr(csr + std::string(8 << 10, '\n')).status().message()),
              HasSubstr("longer than the allowed 8192"));
}

// A request with a key of another kind; made with `openssl req -new -newkey ec`.
TEST(CsrTest, OtherKindsOfKeysAreRefused) {
  constexpr char kEcCsr[] = R"(-----BEGIN CERTIFICATE REQUEST-----
MIHGMG4CAQAwDDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA
BME0V4KH0IBzxUfN+aiT0EWLZ7nfWHzentGgoUQBLu5Eeb6YSEU+7zee25+HsHsB
eIoqq1qvXkxWEl07+eyYakOgADAKBggqhkjOPQQDAgNIADBFAiAhhvsE44Vx5jWo
B3+IfTgJBmC36VvrGE6yHu7CwxRW5AIhALxV/VF0w4fIFZosTltZPjJLGKAmR5CC
4XI33cgybccc
-----END CERTIFICATE REQUEST-----
)";
  EXPECT_THAT(std::string(ReadCsr(kEcCsr).status().message()), HasSubstr("holds no Ed25519 key"));
}

TEST(CertificateTest, RefusalsLeaveNoErrorsBehind) {
  const Authority ca;
  (void)ReadCertificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  (void)ReadCsr(ca.pem);
  (void)CheckSignedBy(ca.pem, Authority{}.pem);
  EXPECT_EQ(ERR_peek_error(), 0U);
}

}  // namespace
}  // namespace shoal
