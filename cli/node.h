#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/file_system.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/random.h"
#include "model/data_directory.h"
#include "model/expert_set.h"
#include "model/manifest.h"
#include "proto/coordinator_client.h"
#include "proto/credentials.h"
#include "proto/identity.h"
#include "proto/join.h"
#include "proto/node_store.h"
#include "proto/shard_fetcher.h"
#include "proto/snapshot.h"

namespace CLI {
class App;
}

namespace shoal {

struct NodeOptions {
  std::string data_dir;         // Empty: DefaultDataDirectory().
  std::string coordinator;      // "host:port"; empty: where it was last.
  std::string join_token_file;  // "-": one line of standard input. Not needed once joined.
  std::string local_shards;     // A data directory of this machine to take files from by link.
};
// --data-dir, --coordinator, --join-token-file, --local-shards.
void AddNodeOptions(CLI::App& command, NodeOptions* options);

// What a node meets the world by.
struct NodeSeams {
  DialerFactory new_dialer;
  FetchCa fetch_ca;
  FileSystem* files = MachineFileSystem();
  Clock* clock = SystemClock();
  Random* random = SystemRandom();
  std::function<bool()> is_busy = [] { return false; };  // With calls, which come before fetches.
  absl::Duration join_time = absl::Seconds(30);  // The coordinator may be about to start, too.
};

// TLS over gRPC, and the machine's disks, clocks and chance (cli/node_seams.cc).
NodeSeams MachineSeams();

// Everything of a model but its experts: what a router holds.
std::vector<const ShardInfo*> TrunkShards(const Manifest& manifest);
// The shards of those experts, in the manifest's order.
std::vector<const ShardInfo*> ExpertShards(const Manifest& manifest, const ExpertSet& experts);

// What `shoal worker` and `shoal router` share: the data directory, membership, the line to the
// coordinator, and files fetched from others. Needs no coordinator once it has joined: it starts
// from what is on disk (F16).
class Node {
 public:
  // Opens the data directory and joins the cluster if it never has. FailedPrecondition, with what
  // to do: no token, another role's or another cluster's directory.
  static absl::StatusOr<std::unique_ptr<Node>> Open(const NodeOptions& options, NodeRole role,
                                                    NodeSeams seams);
  ~Node();  // Stops following.

  DataDirectory& data() { return *data_; }
  const NodeIdentity& identity() const { return identity_; }
  const std::string& coordinator() const { return coordinator_; }
  // For listeners and dialers; renewed ones appear in it.
  const std::shared_ptr<CredentialSource>& credentials() const { return credentials_; }

  // Where this node listened at last, so that it comes back where snapshots say; empty if never.
  std::string LastAddress() const { return store_.ReadAddress(); }
  absl::Status KeepAddress(std::string_view address) { return store_.WriteAddress(address); }
  // How fast this node was measured to be, and under which limits; empty if never.
  std::string LastMeasure() const { return store_.ReadMeasure(); }
  absl::Status KeepMeasure(std::string_view line) { return store_.WriteMeasure(line); }

  // Begins to follow the coordinator; once. `on_snapshot` (may be empty) gets each newer snapshot,
  // the one on disk first, on a thread of the client's.
  using OnSnapshot = std::function<void(std::shared_ptr<const Snapshot>)>;
  void Follow(OnSnapshot on_snapshot);
  // The line itself: SetReport, snapshot, connected. After Follow.
  CoordinatorClient& client() { return *client_; }
  // The newest snapshot; null before the first. Any thread, also before Follow.
  std::shared_ptr<const Snapshot> snapshot() const SHOAL_EXCLUDES(mu_);

  // --- After Follow, one thread at a time.
  struct Model {
    std::shared_ptr<const Snapshot> snapshot;  // Says this model.
    SignedManifest manifest;                   // Signed by the snapshot's import key.
  };
  // Waits for a snapshot that says a model, and for that model's manifest, which it fetches where
  // it is not here. DeadlineExceeded, with what is missing. Cancelled when `cancelled` (may be
  // null) turns true.
  absl::StatusOr<Model> WaitForModel(absl::Time deadline, const std::atomic<bool>* cancelled);

  // Puts shards into the data directory that are not there: from --local-shards, from the workers
  // that the snapshot assigns them to, from the coordinator. Goes through all of them; the first
  // error if some could not be had. Says nothing about bytes that lie there already: Load does.
  using Progress = std::function<void(uint64_t bytes_done, uint64_t bytes_all)>;
  absl::Status EnsureShards(std::span<const ShardInfo* const> shards, const Progress& progress,
                            const std::atomic<bool>* cancelled);
  // Makes what EnsureShards has fetched survive a power cut. False, and logged, if it could not;
  // then it is no longer there.
  bool SyncShards();
  // Everything of this model that this node needs is here: makes it survive a power cut, then lets
  // go of the files of other models, but for what somebody has imported here. A failure is logged.
  void KeepOnly(const Sha256Digest& model_id);
  // What every node counts. Any thread, after Follow.
  void AddMetrics(Metrics* metrics) const SHOAL_EXCLUDES(mu_);
  // What came over the network so far. Any thread.
  ShardFetcher::Counters fetched() const { return fetcher_->counters(); }

 private:
  Node(NodeSeams seams, std::unique_ptr<DataDirectory> data, std::unique_ptr<DataDirectory> local);
  absl::Status Start(const NodeOptions& options, NodeRole role);
  absl::Status CheckSpentToken(const Credentials& credentials, const std::string& file) const;
  absl::StatusOr<Credentials> Join(const JoinToken& token, NodeRole role);
  // The manifest that lies here, or why there is none that fits.
  absl::StatusOr<SignedManifest> StoredManifest(const Snapshot& snapshot) const;
  absl::Status TakeManifest(const Snapshot& snapshot, const std::atomic<bool>* cancelled);
  absl::Status EnsureShard(const ShardInfo& shard, const std::atomic<bool>* cancelled);
  // Workers for which `holds` is true, then the coordinator.
  std::vector<Endpoint> Sources(
      const Snapshot* snapshot,
      const std::function<bool(const Snapshot::Member& worker)>& holds) const;
  void OnNewSnapshot(std::shared_ptr<const Snapshot> snapshot) SHOAL_EXCLUDES(mu_);

  const NodeSeams seams_;
  const std::unique_ptr<DataDirectory> data_;
  const std::unique_ptr<DataDirectory> local_;  // Null without --local-shards.
  NodeStore store_;
  std::string coordinator_;
  NodeIdentity identity_;
  std::shared_ptr<CredentialSource> credentials_;
  std::unique_ptr<ShardFetcher> fetcher_;
  OnSnapshot on_snapshot_;
  mutable Mutex mu_;
  CondVar changed_;
  std::shared_ptr<const Snapshot> snapshot_ SHOAL_GUARDED_BY(mu_);
  std::unique_ptr<CoordinatorClient> client_;  // Last: its thread calls into the rest.
};

}  // namespace shoal
