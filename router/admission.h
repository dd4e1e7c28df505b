#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "base/mutex.h"
#include "engine/kv_cache.h"
#include "router/generation.h"

namespace shoal {

// Where answers wait until the KV cache has room for prompt and max_tokens together, first come
// first served. What runs can therefore always run to its end. Thread-safe.
class Admission {
 public:
  // `kv_cache` outlives this.
  Admission(KvCache* kv_cache, size_t max_queued) : kv_cache_(kv_cache), max_queued_(max_queued) {}

  // ResourceExhausted when max_queued wait already, Unavailable after Close.
  absl::Status Submit(std::shared_ptr<Generation> generation) SHOAL_EXCLUDES(mu_);

  struct Admitted {
    std::shared_ptr<Generation> generation;
    std::unique_ptr<KvSequence> kv;
  };
  // The first that waits, with its room; nothing when none waits or there is no room for the first.
  std::optional<Admitted> Next() SHOAL_EXCLUDES(mu_);

  // Lets those go that were cancelled: they hold no place for others. Returns them.
  std::vector<std::shared_ptr<Generation>> DropCancelled() SHOAL_EXCLUDES(mu_);

  // Refuses what comes from now on.
  void Close() SHOAL_EXCLUDES(mu_);
  // All that still wait.
  std::deque<std::shared_ptr<Generation>> TakeQueued() SHOAL_EXCLUDES(mu_);
  size_t n_queued() const SHOAL_EXCLUDES(mu_);

  // A count of everything that may give a sleeping batcher something to do.
  uint64_t n_changes() const SHOAL_EXCLUDES(mu_);
  void Wake() SHOAL_EXCLUDES(mu_);
  // Returns once the count is no longer `seen`.
  void WaitForChange(uint64_t seen) SHOAL_EXCLUDES(mu_);

 private:
  KvCache* const kv_cache_;
  const size_t max_queued_;
  mutable Mutex mu_;
  CondVar changed_;
  std::deque<std::shared_ptr<Generation>> queue_ SHOAL_GUARDED_BY(mu_);
  uint64_t n_changes_ SHOAL_GUARDED_BY(mu_) = 0;
  bool closed_ SHOAL_GUARDED_BY(mu_) = false;
};

}  // namespace shoal
