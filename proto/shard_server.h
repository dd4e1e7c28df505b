#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "model/data_directory.h"
#include "proto/snapshot.h"
#include "proto/transport.h"

namespace shoal {

// Answers FetchShard on a listener, on a thread of its own: pieces of shards and manifests that lie
// in the data directory, to nodes whom the snapshot gives them: the coordinator everything, a
// worker its assigned experts, a router everything but experts, each the manifest.
class ShardServer {
 public:
  struct Options {
    Listener* listener = nullptr;  // Outlives this.
    DataDirectory* data = nullptr;
    // The snapshot in force; null: nothing is given to anybody.
    std::function<std::shared_ptr<const Snapshot>()> snapshot;
  };
  static std::unique_ptr<ShardServer> Start(Options options);
  ~ShardServer();  // Stops.

 private:
  class Impl;
  explicit ShardServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal
