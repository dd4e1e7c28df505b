#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/random.h"
#include "model/manifest.h"
#include "model/shard_store.h"
#include "proto/snapshot.h"
#include "worker/expert_store.h"
#include "worker/scrubber.h"
#include "worker/served.h"

namespace shoal {

// Makes a worker hold what the newest snapshot assigns to it: of the model that the snapshot names
// it loads what is missing, gives up the rest, and checks what is stored. A new model takes the
// place of the old one. Works on a thread of its own, of low priority, so that streams do not feel
// it; without Start it does so only when RunOnce is called.
class PlacementFollower {
 public:
  struct Model {
    Sha256Digest id = {};
    Manifest manifest;
  };

  struct Options {
    std::string node_id;  // This worker's.
    // Files, how they are fetched, memory, threads: of the experts of whichever model it is.
    ExpertStore::Options store;
    // The manifest of a snapshot's model, waiting for it a little. Called by the follower's thread.
    std::function<absl::StatusOr<Model>(const Snapshot&, const std::atomic<bool>* cancelled)>
        get_model;
    // An empty holder of that model's experts.
    std::function<absl::StatusOr<std::shared_ptr<Served>>(const Model&)> make_served;
    // What is served from now on; null: nothing.
    std::function<void(std::shared_ptr<Served>)> serve;
    // What is advertised has changed. Any thread, never two at once.
    std::function<void(const Sha256Digest& model_id, const ExpertSet& advertised)> report;
    // Everything assigned of this model is loaded now: files of others may go.
    std::function<void(const Sha256Digest& model_id)> on_complete;
    // Nothing is to be loaded just now: a time for what may wait. Called by the follower's thread.
    std::function<void()> on_idle = [] {};
    Random* random = SystemRandom();
  };

  explicit PlacementFollower(Options options);
  ~PlacementFollower();  // Stops.

  void Start();
  void Stop();  // Ends what is under way; nothing is loaded any more.

  // A newer snapshot: what it no longer assigns stops being advertised before this returns. Any
  // thread.
  void OnSnapshot(std::shared_ptr<const Snapshot> snapshot) SHOAL_EXCLUDES(mu_);

  // One piece of work; returns when it wants to be called again. By one thread.
  absl::Time RunOnce() SHOAL_EXCLUDES(mu_);

  // Whether everything that is assigned is served; false before the first snapshot with a model.
  bool IsComplete() const SHOAL_EXCLUDES(mu_);
  // Of the model at hand.
  ExpertStore::Progress progress() const SHOAL_EXCLUDES(mu_);

 private:
  // Everything about one model.
  struct Hosted {
    Sha256Digest model_id;
    std::shared_ptr<Served> served;
    std::unique_ptr<ExpertStore> store;
    std::unique_ptr<Scrubber> scrubber;
    bool complete = false;
  };

  void Loop() SHOAL_EXCLUDES(mu_);
  absl::Time ChangeModel(const std::shared_ptr<const Snapshot>& snapshot) SHOAL_EXCLUDES(mu_);
  absl::StatusOr<std::shared_ptr<Hosted>> MakeHosted(const Snapshot& snapshot);
  void AssignFrom(const Snapshot& snapshot, const Hosted& hosted) const;
  void Report() SHOAL_EXCLUDES(mu_, report_mu_);
  std::shared_ptr<Hosted> hosted() const SHOAL_EXCLUDES(mu_);

  const Options options_;
  Backoff backoff_;  // Between attempts to get a manifest.
  std::thread thread_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> cancelled_{false};  // Work under way is of no use any more.

  mutable Mutex mu_;
  CondVar woken_;
  bool wake_ SHOAL_GUARDED_BY(mu_) = false;
  std::shared_ptr<const Snapshot> snapshot_ SHOAL_GUARDED_BY(mu_);
  std::shared_ptr<Hosted> hosted_ SHOAL_GUARDED_BY(mu_);

  Mutex report_mu_ SHOAL_ACQUIRED_BEFORE(mu_);
  Sha256Digest reported_model_ SHOAL_GUARDED_BY(report_mu_) = {};
  ExpertSet reported_ SHOAL_GUARDED_BY(report_mu_);
};

}  // namespace shoal
