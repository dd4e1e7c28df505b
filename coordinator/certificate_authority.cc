#include "coordinator/certificate_authority.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/certificate.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

constexpr absl::Duration kLife = absl::Hours(24 * 365 * 10);
constexpr uint64_t kMaxPemBytes = 16 << 10;
constexpr size_t kIdDigits = 16;

absl::StatusOr<Ed25519Key> ReadOrMakeKey(FileSystem* files, const std::string& path,
                                         Random* random) {
  if (files->Exists(path)) {
    SHOAL_ASSIGN_OR_RETURN(const std::string pem, ReadFile(files, path, kMaxPemBytes));
    return Ed25519Key::FromPem(pem);
  }
  Ed25519Key key = Ed25519Key::Generate(random);
  SHOAL_RETURN_IF_ERROR(ReplaceFile(files, path, key.Pem()));
  return key;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CertificateAuthority>> CertificateAuthority::Open(
    FileSystem* files, const std::string& directory, Clock* clock, Random* random) {
  SHOAL_RETURN_IF_ERROR(files->CreateDirectories(directory));
  const std::string key_path = JoinPath(directory, "ca.key");
  const std::string certificate_path = JoinPath(directory, "ca.crt");
  if (files->Exists(certificate_path) && !files->Exists(key_path)) {
    return absl::DataLossError(absl::StrCat(
        key_path, ": the key of ", certificate_path,
        " is gone; put back a copy, or remove both and let every node join a new cluster"));
  }
  SHOAL_ASSIGN_OR_RETURN(Ed25519Key key, ReadOrMakeKey(files, key_path, random));
  std::string certificate;
  if (files->Exists(certificate_path)) {
    SHOAL_ASSIGN_OR_RETURN(certificate, ReadFile(files, certificate_path, kMaxPemBytes));
  } else {
    const absl::Time now = clock->WallNow();
    SHOAL_ASSIGN_OR_RETURN(certificate, MakeCaCertificate(key, "Shoal cluster CA", now - kBackdated,
                                                          now + kLife, random));
    SHOAL_RETURN_IF_ERROR(ReplaceFile(files, certificate_path, certificate));
  }
  std::unique_ptr<CertificateAuthority> authority(
      new CertificateAuthority(std::move(key), std::move(certificate), clock, random));
  SHOAL_RETURN_IF_ERROR(authority->Check());
  return authority;
}

CertificateAuthority::CertificateAuthority(Ed25519Key key, std::string certificate, Clock* clock,
                                           Random* random)
    : key_(std::move(key)), certificate_(std::move(certificate)), clock_(clock), random_(random) {
  const Ed25519PublicKey public_key = key_.public_key();
  const std::string digits = Sha256Hex(public_key);
  cluster_id_ = digits.substr(0, kIdDigits);
  coordinator_id_ = digits.substr(kIdDigits, kIdDigits);
  admin_id_ = digits.substr(2 * kIdDigits, kIdDigits);
}

absl::Status CertificateAuthority::Check() {
  SHOAL_ASSIGN_OR_RETURN(const CertificateFacts facts, ReadCertificate(certificate_));
  if (!facts.is_ca || facts.public_key != key_.public_key()) {
    return absl::DataLossError("ca.crt is not the certificate of ca.key; put back copies of both");
  }
  SHOAL_ASSIGN_OR_RETURN(digest_, CertificateDigest(certificate_));
  not_before_ = facts.not_before;
  return absl::OkStatus();
}

absl::StatusOr<CertificateAuthority::Leaf> CertificateAuthority::Issue(
    const Ed25519PublicKey& key, const NodeIdentity& identity) const {
  // A clock that was set back (F19) makes no leaf that is older than its authority.
  const absl::Time now = std::max(clock_->WallNow(), not_before_ + kBackdated);
  Leaf leaf{.pem = {}, .expiry = now + kLeafLife};
  SHOAL_ASSIGN_OR_RETURN(leaf.pem,
                         IssueLeaf(key_, certificate_, key,
                                   {.uri = IdentityUri(cluster_id_, identity),
                                    .dns = {RoleDnsName(identity.role), NodeDnsName(identity)}},
                                   now - kBackdated, leaf.expiry, random_));
  return leaf;
}

absl::StatusOr<Credentials> CertificateAuthority::IssueWithKey(const NodeIdentity& identity) const {
  const Ed25519Key key = Ed25519Key::Generate(random_);
  SHOAL_ASSIGN_OR_RETURN(Leaf leaf, Issue(key.public_key(), identity));
  return Credentials{.cluster_id = cluster_id_,
                     .ca_pem = certificate_,
                     .certificate_pem = std::move(leaf.pem),
                     .key_pem = key.Pem()};
}

}  // namespace shoal
