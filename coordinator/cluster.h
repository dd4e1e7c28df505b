#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/random.h"
#include "coordinator/audit_log.h"
#include "coordinator/certificate_authority.h"
#include "coordinator/cluster_state.h"
#include "coordinator/live_nodes.h"
#include "coordinator/placement_keeper.h"
#include "coordinator/state_store.h"
#include "model/data_directory.h"

namespace shoal {

// What a coordinator knows and decides, and where it keeps that: what the operations of ops/ work
// on. Every change goes through Commit. Thread-compatible, but for snapshot().
class Cluster {
 public:
  struct Parts {  // All outlive this.
    StateStore* store = nullptr;
    const CertificateAuthority* authority = nullptr;
    DataDirectory* data = nullptr;
    AuditLog* audit = nullptr;
    Clock* clock = nullptr;
    Random* random = nullptr;
    int replicas = 2;  // Of a new cluster.
  };

  // Claims the store and reads what is in it; the epoch is then above every earlier one (I9).
  static absl::StatusOr<std::unique_ptr<Cluster>> Open(Parts parts);

  // Keeps a batch, then applies it. When OK comes back it survives everything; else nothing has
  // changed. Unavailable: it cannot be kept now. FailedPrecondition: another coordinator has taken
  // over, and every later call says so too.
  absl::Status Commit(const ClusterBatch& batch);

  // Periodic work: places experts, forgets old tokens, renews the snapshot once a day.
  void Tick();

  // Serves a model of the data directory from now on. NotFound, InvalidArgument; FailedPrecondition
  // when it is signed by another key than this directory's import key.
  absl::StatusOr<Sha256Digest> SetModel(std::string_view model, int replicas);

  const ClusterState& state() const { return state_; }
  LiveNodes& live() { return live_; }
  const PlacementKeeper& keeper() const { return keeper_; }
  const CertificateAuthority& authority() const { return *parts_.authority; }
  AuditLog& audit() { return *parts_.audit; }
  Clock& clock() { return *parts_.clock; }
  Random& random() { return *parts_.random; }
  bool deposed() const { return deposed_; }

  // In force; any thread.
  std::shared_ptr<const Snapshot> snapshot() const SHOAL_EXCLUDES(mu_);
  // The same, signed.
  const std::string& signed_snapshot() const { return signed_snapshot_; }

  // Whether everybody else could hold all experts.
  absl::Status FitsWithout(std::string_view node_id) const {
    return keeper_.FitsWithout(state_, live_, node_id);
  }

 private:
  explicit Cluster(Parts parts);
  absl::Status Replay();
  absl::Status ReadModelSizes();
  void PublishIfChanged() SHOAL_EXCLUDES(mu_);
  void CompactIfLong();
  ClusterBatch Housekeeping() const;

  const Parts parts_;
  uint64_t claim_ = 0;
  bool deposed_ = false;
  uint64_t compacted_bytes_ = 0;
  ClusterState state_;
  LiveNodes live_;
  PlacementKeeper keeper_;
  absl::Time ticked_ = absl::InfinitePast();
  absl::Time resting_until_ = absl::InfinitePast();
  std::string signed_snapshot_;
  mutable Mutex mu_;
  std::shared_ptr<const Snapshot> snapshot_ SHOAL_GUARDED_BY(mu_);
};

}  // namespace shoal
