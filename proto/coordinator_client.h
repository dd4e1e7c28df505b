#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/sha256.h"
#include "model/expert_set.h"
#include "proto/credentials.h"
#include "proto/join.h"
#include "proto/node_store.h"
#include "proto/router_load.h"
#include "proto/snapshot.h"

namespace shoal {

// What a node says of itself (wire::ReportStatusRequest).
struct NodeReport {
  struct Peer {
    std::string node_id;
    bool reachable = false;
    absl::Duration round_trip;
    friend bool operator==(const Peer&, const Peer&) = default;
  };
  std::string peer_address;
  uint64_t memory_bytes = 0;
  double read_gb_per_s = 0;
  ExpertSet resident;
  Sha256Digest model_id = {};
  bool draining = false;
  std::vector<Peer> peers;
  std::optional<RouterLoad> load = {};  // Routers.
  friend bool operator==(const NodeReport&, const NodeReport&) = default;
};

// A node's line to the coordinator: follows the snapshot and keeps it on disk, renews the lease by
// reporting, renews the certificate from half its life on. While the coordinator is away it keeps
// trying, 100 ms to 2 s apart, and nothing else changes. Thread-safe.
class CoordinatorClient {
 public:
  struct Options {
    std::string address;  // Of the coordinator.
    std::shared_ptr<CredentialSource> credentials;
    DialerFactory new_dialer;
    NodeStore* store = nullptr;  // Outlives this; used by its thread only.
    Clock* clock = nullptr;
    Random* random = nullptr;
    // Called on the client's thread with each newer snapshot, the one on disk first, after it has
    // been written to disk where that was possible.
    std::function<void(std::shared_ptr<const Snapshot>)> on_snapshot;
  };

  static std::unique_ptr<CoordinatorClient> Start(Options options);
  ~CoordinatorClient();  // Stops.

  // What to report from now on: sent at once when it differs, and every 3 s.
  void SetReport(NodeReport report);
  // The newest snapshot; null before the first.
  std::shared_ptr<const Snapshot> snapshot() const;
  bool connected() const;

  struct Counters {
    uint64_t connections = 0;        // Lines that opened.
    uint64_t reports = 0;            // Taken by the coordinator.
    uint64_t snapshots = 0;          // Taken from the coordinator.
    uint64_t stale_snapshots = 0;    // Not newer than the one in force (I9).
    uint64_t refused_snapshots = 0;  // Not signed by this cluster's authority, or not a snapshot.
    uint64_t unexpected_frames = 0;  // Damaged, or an answer to nothing that was asked.
    uint64_t renewals = 0;           // New certificates.
  };
  Counters counters() const;

 private:
  class Impl;
  explicit CoordinatorClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal
