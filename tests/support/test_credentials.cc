#include "tests/support/test_credentials.h"

#include <openssl/pem.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/openssl_ptr.h"
#include "base/random.h"

namespace shoal {
namespace {

constexpr char kClusterId[] = "test-cluster";

std::string MakeCa(const Ed25519Key& key) {
  return *MakeCaCertificate(key, "test CA", absl::Now() - absl::Hours(1),
                            absl::Now() + absl::Hours(1), SystemRandom());
}

// The same certificate with another extension `nid`, signed anew: what no authority of ours issues.
std::string Forge(const std::string& pem, int nid, const std::string& value,
                  const Ed25519Key& ca_key) {
  const BioPtr in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const X509Ptr certificate(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
  const int at = X509_get_ext_by_NID(certificate.get(), nid, -1);
  X509_EXTENSION_free(X509_delete_ext(certificate.get(), at));
  const X509ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str()));
  SHOAL_CHECK_EQ(X509_add_ext(certificate.get(), extension.get(), -1), 1);
  SHOAL_CHECK(X509_sign(certificate.get(), static_cast<EVP_PKEY*>(ca_key.evp()), nullptr) > 0);
  const BioPtr out(BIO_new(BIO_s_mem()));
  SHOAL_CHECK_EQ(PEM_write_bio_X509(out.get(), certificate.get()), 1);
  const char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<size_t>(size)};
}

}  // namespace

TestCa::TestCa() : key_(Ed25519Key::Generate(SystemRandom())), ca_pem_(MakeCa(key_)) {}

Credentials TestCa::Issue(NodeRole role, Flaw flaw) const {
  Credentials credentials{
      .cluster_id = kClusterId, .ca_pem = ca_pem_, .certificate_pem = "", .key_pem = ""};
  if (flaw == Flaw::kNoCertificate) return credentials;
  if (flaw == Flaw::kCaAsLeaf) {
    credentials.certificate_pem = ca_pem_;
    credentials.key_pem = key_.Pem();
    return credentials;
  }
  if (flaw == Flaw::kOtherCa) {
    credentials = TestCa().Issue(role);
    credentials.ca_pem = ca_pem_;
    return credentials;
  }
  const NodeIdentity identity{role, absl::StrFormat("%016x", SystemRandom()->Next64())};
  const std::string cluster = flaw == Flaw::kOtherCluster ? "another-cluster" : kClusterId;
  const LeafNames names{IdentityUri(cluster, identity), {RoleDnsName(role), NodeDnsName(identity)}};
  const absl::Time end =
      absl::Now() + (flaw == Flaw::kExpired ? -absl::Minutes(1) : absl::Hours(1));
  const Ed25519Key key = Ed25519Key::Generate(SystemRandom());
  credentials.certificate_pem = *IssueLeaf(key_, ca_pem_, key.public_key(), names,
                                           absl::Now() - absl::Minutes(5), end, SystemRandom());
  credentials.key_pem = key.Pem();
  if (flaw == Flaw::kTwoNames) {
    credentials.certificate_pem =
        Forge(credentials.certificate_pem, NID_subject_alt_name,
              absl::StrCat("URI:", names.uri, ",URI:", names.uri, "0"), key_);
  }
  if (flaw == Flaw::kOtherUsage) {
    credentials.certificate_pem =
        Forge(credentials.certificate_pem, NID_ext_key_usage, "codeSigning", key_);
  }
  return credentials;
}

}  // namespace shoal
