#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "model/data_directory.h"
#include "proto/snapshot.h"
#include "proto/transport.h"

namespace shoal {

// Answers FetchShard on a listener, on a thread of its own: pieces of shards and manifests that lie
// in the data directory, to nodes whom the snapshot gives them (proto/shard_service.h). Requests
// wait in a queue of kMaxQueuedFetches, kMaxFetchesPerLink of one link; beyond that the answer is
// OVERLOADED.
class ShardServer {
 public:
  struct Options {
    Listener* listener = nullptr;   // Outlives this.
    DataDirectory* data = nullptr;  // Outlives this.
    // The snapshot in force; null: nothing is given to anybody. Called on the server's thread.
    std::function<std::shared_ptr<const Snapshot>()> snapshot;
    // Whether the process answers calls just now, which come first. Called on the server's thread.
    std::function<bool()> is_busy = [] { return false; };
  };
  static std::unique_ptr<ShardServer> Start(Options options);
  ~ShardServer();  // Stops.

  struct Counters {
    uint64_t bytes = 0;    // Of all frames sent, refusals too.
    uint64_t answers = 0;  // Requests answered, also by a refusal.
    uint64_t overloaded = 0;
    uint64_t unexpected_frames = 0;  // Damaged, or no request for a piece of a file: no answer.
  };
  Counters counters() const;

 private:
  class Impl;
  explicit ShardServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal
