#pragma once

#include <memory>
#include <string>

#include "base/certificate.h"
#include "proto/credentials.h"
#include "proto/identity.h"

namespace shoal {

// What can be wrong with a certificate.
enum class Flaw {
  kNone,
  kNoCertificate,
  kOtherCa,
  kOtherCluster,
  kExpired,
  kTwoNames,
  kCaAsLeaf,
  kOtherUsage,  // Neither for clients nor for servers.
};

// A certificate authority for tests, with keys that nobody keeps.
class TestCa {
 public:
  TestCa();

  // Credentials of a new node of that role, in the cluster "test-cluster". They trust this CA,
  // whatever is wrong with their own certificate.
  Credentials Issue(NodeRole role, Flaw flaw = Flaw::kNone) const;
  std::shared_ptr<CredentialSource> Source(NodeRole role, Flaw flaw = Flaw::kNone) const {
    return std::make_shared<CredentialSource>(Issue(role, flaw));
  }
  const std::string& ca_pem() const { return ca_pem_; }

 private:
  const Ed25519Key key_;
  const std::string ca_pem_;
};

}  // namespace shoal
