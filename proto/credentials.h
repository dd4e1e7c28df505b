#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/mutex.h"

namespace shoal {

// What TLS needs of a node. Immutable.
struct Credentials {
  std::string cluster_id;
  std::string ca_pem;           // Whom it trusts.
  std::string certificate_pem;  // Its own leaf; empty: it has none and can only ask to join.
  std::string key_pem;          // Of the leaf.
};

// The credentials in force; they change when a certificate is renewed. New links use the new ones.
// Thread-safe.
class CredentialSource {
 public:
  explicit CredentialSource(Credentials credentials) { Set(std::move(credentials)); }
  std::shared_ptr<const Credentials> Get() const SHOAL_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    return current_;
  }
  void Set(Credentials credentials) SHOAL_EXCLUDES(mu_) {
    auto next = std::make_shared<const Credentials>(std::move(credentials));
    MutexLock lock(&mu_);
    current_ = std::move(next);
  }

 private:
  mutable Mutex mu_;
  std::shared_ptr<const Credentials> current_ SHOAL_GUARDED_BY(mu_);
};

}  // namespace shoal
