#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/random.h"
#include "coordinator/cluster.h"
#include "coordinator/coordinator_service.h"
#include "coordinator/file_store.h"
#include "model/data_directory.h"
#include "proto/credentials.h"
#include "proto/shard_server.h"
#include "proto/transport.h"

namespace shoal {

// The control plane of a cluster: who belongs, who holds what. One thread answers control streams
// and does the periodic work, a second one gives files away (proto/shard_server.h). Everything that
// has to last lies in DIR/coordinator: ca.key, ca.crt, state.log, audit.log, address,
// admin.crt, admin.key. Thread-compatible.
class Coordinator {
 public:
  struct Options {
    DataDirectory* data = nullptr;  // Outlives this; locked by this process.
    Clock* clock = nullptr;
    Random* random = nullptr;
    int replicas = 0;   // 0: as it was, or 2.
    std::string model;  // Id, prefix or name; empty: as it was.
    // Makes the listener, once there are credentials for it. Control and FetchShard are served, and
    // callers without a certificate are let in.
    std::function<absl::StatusOr<std::unique_ptr<Listener>>(std::shared_ptr<CredentialSource>)>
        listen;
  };

  // Serves from now on.
  static absl::StatusOr<std::unique_ptr<Coordinator>> Start(Options options);
  ~Coordinator();  // Stops.

  const std::string& address() const { return listener_->address(); }
  const std::string& cluster_id() const { return authority_->cluster_id(); }
  const Sha256Digest& ca_digest() const { return authority_->digest(); }
  // In force. Any thread.
  std::shared_ptr<const Snapshot> snapshot() const { return cluster_->snapshot(); }
  // As it was at most a second ago; null only before Start has returned. Any thread.
  std::shared_ptr<const ClusterView> view() const SHOAL_EXCLUDES(mu_);
  void AddMetrics(Metrics* metrics) const;
  ShardServer::Counters shards_given() const { return shard_server_->counters(); }

 private:
  explicit Coordinator(Options options);
  absl::Status Open();
  absl::Status OpenCluster();
  absl::Status RenewOwnCertificates();
  void Loop();
  void CloseLinks();
  void PublishView() SHOAL_EXCLUDES(mu_);

  const Options options_;
  std::unique_ptr<CertificateAuthority> authority_;
  std::unique_ptr<AuditLog> audit_;
  std::unique_ptr<FileStore> store_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<CoordinatorService> service_;
  std::shared_ptr<CredentialSource> credentials_;
  absl::Time renew_at_;  // By the monotonic clock.
  absl::Time view_at_ = absl::InfinitePast();
  mutable Mutex mu_;
  std::shared_ptr<const ClusterView> view_ SHOAL_GUARDED_BY(mu_);
  std::unique_ptr<Listener> listener_;
  std::set<LinkId> links_;  // The thread's: those that said something.
  std::atomic<bool> stop_{false};
  std::thread thread_;
  std::unique_ptr<ShardServer> shard_server_;
};

}  // namespace shoal
