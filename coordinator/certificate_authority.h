#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/ed25519.h"
#include "base/file_system.h"
#include "base/random.h"
#include "base/sha256.h"
#include "proto/credentials.h"
#include "proto/identity.h"

namespace shoal {

// Who vouches for every node of a cluster: an Ed25519 key and a certificate for it, in a folder of
// the coordinator's data directory (ca.key, ca.crt), made at the first start and valid for ten
// years. The cluster's id is drawn from the key. Thread-compatible.
class CertificateAuthority {
 public:
  static constexpr absl::Duration kLeafLife = absl::Hours(24 * 7);
  static constexpr absl::Duration kBackdated = absl::Minutes(5);  // Other clocks may be behind.

  // DataLoss: a certificate without its key, or a pair that does not belong together.
  static absl::StatusOr<std::unique_ptr<CertificateAuthority>> Open(FileSystem* files,
                                                                    const std::string& directory,
                                                                    Clock* clock, Random* random);

  struct Leaf {
    std::string pem;
    absl::Time expiry;
  };
  absl::StatusOr<Leaf> Issue(const Ed25519PublicKey& key, const NodeIdentity& identity) const;
  // A key made here and a leaf for it.
  absl::StatusOr<Credentials> IssueWithKey(const NodeIdentity& identity) const;

  const std::string& cluster_id() const { return cluster_id_; }
  const std::string& certificate() const { return certificate_; }
  const Sha256Digest& digest() const { return digest_; }  // What join tokens pin.
  const Ed25519Key& key() const { return key_; }          // Signs snapshots too.
  // The same at every start: they are drawn from the key as the cluster's id is.
  NodeIdentity coordinator() const { return {NodeRole::kCoordinator, coordinator_id_}; }
  NodeIdentity admin() const { return {NodeRole::kAdmin, admin_id_}; }

 private:
  CertificateAuthority(Ed25519Key key, std::string certificate, Clock* clock, Random* random);
  absl::Status Check();

  const Ed25519Key key_;
  const std::string certificate_;
  Clock* const clock_;
  Random* const random_;
  std::string cluster_id_;
  std::string coordinator_id_;
  std::string admin_id_;
  Sha256Digest digest_ = {};
  absl::Time not_before_;
};

}  // namespace shoal
