#pragma once

#include <string>

#include "absl/time/time.h"
#include "base/ed25519.h"
#include "proto/credentials.h"
#include "proto/identity.h"
#include "proto/snapshot.h"

namespace shoal {

// A cluster's authority, for tests: what a coordinator signs with.
class TestAuthority {
 public:
  explicit TestAuthority(std::string cluster_id = "c1", absl::Time now = kStart);

  // A node's key, and a leaf for it.
  Credentials Issue(const NodeIdentity& node, absl::Time not_before, absl::Time not_after) const;
  Credentials Issue(const NodeIdentity& node) const {
    return Issue(node, kStart - absl::Minutes(5), kStart + absl::Hours(7 * 24));
  }
  // A leaf for the key of a request.
  std::string Sign(const std::string& csr_pem, const NodeIdentity& node, absl::Time not_before,
                   absl::Time not_after) const;

  const std::string& cluster_id() const { return cluster_id_; }
  const std::string& ca_pem() const { return ca_pem_; }
  const Ed25519Key& key() const { return key_; }

  static const absl::Time kStart;

 private:
  const std::string cluster_id_;
  const Ed25519Key key_;
  const std::string ca_pem_;
};

// "0000000000000007" of 7.
std::string TestNodeId(uint64_t n);

// A router 1 and workers 2 and 3, 2 layers of 3 experts, each on both workers.
Snapshot MakeTestSnapshot(const std::string& cluster_id, uint64_t epoch);

}  // namespace shoal
