#include "tests/support/test_credentials.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/random.h"

namespace shoal {
namespace {

constexpr char kClusterId[] = "test-cluster";

std::string MakeCa(const Ed25519Key& key) {
  return *MakeCaCertificate(key, "test CA", absl::Now() - absl::Hours(1),
                            absl::Now() + absl::Hours(1), SystemRandom());
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
  LeafNames names{IdentityUri(cluster, identity), {RoleDnsName(role), NodeDnsName(identity)}};
  if (flaw == Flaw::kTwoNames) names.uri = absl::StrCat(names.uri, ",URI:", names.uri, "0");
  const absl::Time end =
      absl::Now() + (flaw == Flaw::kExpired ? -absl::Minutes(1) : absl::Hours(1));
  const Ed25519Key key = Ed25519Key::Generate(SystemRandom());
  credentials.certificate_pem = *IssueLeaf(key_, ca_pem_, key.public_key(), names,
                                           absl::Now() - absl::Minutes(5), end, SystemRandom());
  credentials.key_pem = key.Pem();
  return credentials;
}

}  // namespace shoal
