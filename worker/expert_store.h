#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "engine/expert_weights.h"
#include "model/expert_set.h"
#include "model/manifest.h"
#include "model/shard_store.h"
#include "worker/served.h"

namespace shoal {

// The experts of one model that a worker is to hold: gets their shards, verifies each as it is
// loaded (I5), serves them under a cap of bytes, gives up what is no longer assigned. An expert
// that is given up is no longer advertised at once, answers for a grace of 10 s, then leaves
// memory; its file stays while the disk's cap allows it.
//
// It has no thread: whoever owns it calls RunOnce when that asks to be called. Assign and progress
// may be called by any thread, RunOnce by one.
class ExpertStore {
 public:
  // Puts a shard into the store of files. Called by RunOnce's thread.
  using Fetch = std::function<absl::Status(const ShardInfo&, const std::atomic<bool>* cancelled)>;

  struct Options {
    ShardStore* files = nullptr;  // Outlives this.
    Fetch fetch;
    Clock* clock = SystemClock();
    uint64_t memory_bytes = 0;  // For experts, those on their way and those given up included.
    uint64_t disk_bytes = 0;    // For files of experts that are not assigned.
    int n_threads = 1;          // That load at once, while nothing is served.
    std::function<bool()> is_busy = [] { return false; };  // Calls are being served.
  };

  ExpertStore(Options options, std::shared_ptr<const Manifest> manifest,
              std::shared_ptr<Served> served);

  // What is to be held from now on. `first`: those of them that nobody else holds.
  void Assign(const ExpertSet& assigned, const ExpertSet& first) SHOAL_EXCLUDES(mu_);

  // Unloads what is due and loads one expert, or for a quarter of a second as many as all threads
  // can while nothing is served. Returns when it wants to be called again, unless Assign comes
  // first: at once while there is more, InfiniteFuture if nothing is left to do.
  absl::Time RunOnce(const std::atomic<bool>* cancelled) SHOAL_EXCLUDES(mu_);

  // A stored file turned out to be corrupt and was deleted: it is fetched again if it is needed.
  void OnFileLost(const ShardInfo& shard) SHOAL_EXCLUDES(mu_);

  struct Progress {
    int n_assigned = 0;
    int n_advertised = 0;       // Of those.
    uint64_t memory_bytes = 0;  // Taken.
    uint64_t n_loaded = 0;      // So far.
    uint64_t n_corrupt = 0;     // Files found so far that were not what their names say.
    uint64_t n_failed = 0;      // Attempts so far.
    std::string last_error;
  };
  Progress progress() const SHOAL_EXCLUDES(mu_);

 private:
  struct Slot {
    const ShardInfo* shard = nullptr;  // Null: the manifest has none.
    uint64_t packed_bytes = 0;
    bool assigned = false;
    bool first = false;
    bool loaded = false;
    bool loading = false;
    bool file_missing = false;
    int n_failures = 0;
    absl::Time retry_at = absl::InfinitePast();
    absl::Time unload_at = absl::InfiniteFuture();
    absl::Time left_at = absl::InfinitePast();  // When it was given up.
  };

  bool Wanted(const Slot& slot) const {
    return slot.assigned && (!slot.loaded || slot.file_missing);
  }
  void UnloadDue() SHOAL_EXCLUDES(mu_);
  std::optional<size_t> TakeNext(bool may_fetch) SHOAL_EXCLUDES(mu_);
  bool LoadNext(bool may_fetch, const std::atomic<bool>* cancelled) SHOAL_EXCLUDES(mu_);
  void LoadBatch(const std::atomic<bool>* cancelled) SHOAL_EXCLUDES(mu_);
  absl::Status FetchFile(size_t i, const std::atomic<bool>* cancelled) SHOAL_EXCLUDES(mu_);
  absl::Status LoadFile(size_t i) SHOAL_EXCLUDES(mu_);
  absl::StatusOr<std::shared_ptr<const ExpertWeights>> ReadAndPack(const ShardInfo& shard) const;
  absl::Status Reserve(size_t i) SHOAL_EXCLUDES(mu_);
  void Publish(size_t i, std::shared_ptr<const ExpertWeights> weights) SHOAL_EXCLUDES(mu_);
  void OnFailure(size_t i, const absl::Status& why) SHOAL_EXCLUDES(mu_);
  void TrimFiles() SHOAL_EXCLUDES(mu_);
  absl::Time NextTime() const SHOAL_EXCLUDES(mu_);
  int LayerOf(size_t i) const;
  int ExpertOf(size_t i) const;

  const Options options_;
  const std::shared_ptr<const Manifest> manifest_;
  const std::shared_ptr<Served> served_;

  mutable Mutex mu_;
  std::vector<Slot> slots_ SHOAL_GUARDED_BY(mu_);  // [n_layers * n_experts]
  uint64_t memory_bytes_ SHOAL_GUARDED_BY(mu_) = 0;
  bool trim_files_ SHOAL_GUARDED_BY(mu_) = true;  // Something was given up since the last time.
  Progress counted_ SHOAL_GUARDED_BY(mu_);        // Its counters and last_error only.
};

}  // namespace shoal
