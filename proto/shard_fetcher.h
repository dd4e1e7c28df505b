#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/data_directory.h"
#include "model/manifest.h"
#include "model/shard_store.h"
#include "proto/transport.h"

namespace shoal {

// Gets files by hash from other nodes, in chunks that are verified as they come. A source that
// fails, has it not, or sends a bad chunk is left for the next one; what has arrived stays.
// Thread-compatible.
class ShardFetcher {
 public:
  explicit ShardFetcher(std::unique_ptr<Dialer> dialer) : dialer_(std::move(dialer)) {}

  // Puts a shard into `store`: from `sources` in their order, each asked for what is still missing.
  // Unavailable, with the last source's reason, when none gives all of it.
  absl::Status Fetch(const ShardInfo& shard, std::span<const Endpoint> sources, ShardStore* store,
                     const std::atomic<bool>* cancelled);

  // The signed manifest of a model: verified against the id and the key that must have signed it.
  absl::StatusOr<std::string> FetchManifest(const Sha256Digest& model_id,
                                            const Ed25519PublicKey& import_key,
                                            std::span<const Endpoint> sources,
                                            const std::atomic<bool>* cancelled);

  struct Counters {
    uint64_t bytes = 0;       // Payloads that were kept.
    uint64_t bad_chunks = 0;  // Whose hash differed.
  };
  Counters counters() const;

 private:
  std::unique_ptr<Dialer> dialer_;
  std::atomic<uint64_t> bytes_{0};
  std::atomic<uint64_t> bad_chunks_{0};
};

}  // namespace shoal
