#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/data_directory.h"
#include "model/manifest.h"
#include "model/shard_store.h"
#include "proto/transport.h"

namespace shoal {

// Gets files by hash from other nodes, in chunks that are verified as they come. A source that
// fails, has it not, or sends a bad chunk is left for the next one; what has arrived stays.
// Two chunks are under way at a time, so that the link is never idle. Thread-compatible;
// counters() from any thread.
class ShardFetcher {
 public:
  struct Options {
    absl::Duration connect_timeout = absl::Seconds(3);
    absl::Duration chunk_timeout = absl::Seconds(10);  // From one chunk to the next.
    // Whether the process answers calls just now, which come first. Called by Fetch's thread.
    std::function<bool()> is_busy = [] { return false; };
  };
  explicit ShardFetcher(std::unique_ptr<Dialer> dialer) : ShardFetcher(std::move(dialer), {}) {}
  ShardFetcher(std::unique_ptr<Dialer> dialer, Options options)
      : dialer_(std::move(dialer)), options_(options) {}

  // Puts a shard into `store`: from `sources` in their order, each asked for what is still missing.
  // Unavailable, with each source's reason, when none gives all of it. Cancelled when `cancelled`
  // (may be null) turns true. DataLoss, ResourceExhausted: the disk here.
  absl::Status Fetch(const ShardInfo& shard, std::span<const Endpoint> sources, ShardStore* store,
                     const std::atomic<bool>* cancelled);

  // The signed manifest of a model: verified against the id and the key that must have signed it.
  absl::StatusOr<std::string> FetchManifest(const Sha256Digest& model_id,
                                            const Ed25519PublicKey& import_key,
                                            std::span<const Endpoint> sources,
                                            const std::atomic<bool>* cancelled);

  struct Counters {
    uint64_t bytes = 0;              // Payloads that were kept.
    uint64_t bad_chunks = 0;         // Whose hash or size differed; manifests that did not verify.
    uint64_t unexpected_frames = 0;  // Damaged, late, twice, or an answer to nothing.
  };
  Counters counters() const { return {bytes_, bad_chunks_, unexpected_frames_}; }

 private:
  // A file that is wanted, from `begin` on. file_bytes 0: the first reply says it.
  struct Wanted {
    std::string hash;
    uint64_t begin = 0;
    uint64_t file_bytes = 0;
  };
  // Gets each chunk in its turn; what it returns ends the download.
  using Keep = absl::FunctionRef<absl::Status(uint64_t offset, std::span<const std::byte> chunk)>;
  class Download;

  // Whether a failure is this node's own, so that another source would not help.
  static bool IsOwn(const absl::Status& status);
  absl::StatusOr<LinkId> LinkTo(const Endpoint& source);
  std::optional<LinkEvent> NextEvent(absl::Time until);
  absl::Status DownloadFrom(const Endpoint& source, const Wanted& wanted, Keep keep,
                            const std::atomic<bool>* cancelled);

  const std::unique_ptr<Dialer> dialer_;
  const Options options_;
  std::map<std::pair<std::string, std::string>, LinkId> links_;  // By address and node id.
  uint64_t next_id_ = 1;
  std::atomic<uint64_t> bytes_{0};
  std::atomic<uint64_t> bad_chunks_{0};
  std::atomic<uint64_t> unexpected_frames_{0};
};

}  // namespace shoal
