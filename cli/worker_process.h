#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "cli/node.h"

namespace shoal {

struct WorkerProcessOptions {
  NodeOptions node;
  std::string peer_listen = "127.0.0.1:0";
  int threads = 0;            // 0: one per core.
  uint64_t memory_bytes = 0;  // For experts; 0: what is free, less a margin.
  double read_gb_per_s = 0;   // How fast it reads memory; 0: it measures.
  int spin_us = 0;
  std::string ops_listen;  // Empty: no port for probes.
};

// A worker of a cluster: joins, listens, holds what the coordinator's snapshots assign to it, until
// SIGTERM or SIGINT. Prints one line of JSON with its address once it listens.
absl::Status RunWorkerProcess(const WorkerProcessOptions& options);

}  // namespace shoal
