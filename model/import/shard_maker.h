#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "base/aligned_buffer.h"
#include "base/mutex.h"
#include "base/thread_pool.h"
#include "model/import/import_plan.h"
#include "model/shard_store.h"
#include "model/weight_source.h"

namespace shoal {

// Makes planned shards: one thread reads the next stretch of the file while the others hash and
// write the last. Two buffers hold all tensor bytes that are in memory, whatever the model's size.
class ShardMaker {
 public:
  // All outlive this. `buffer_bytes`: of each buffer; a multiple of kShardChunkBytes.
  ShardMaker(const WeightSource& file, ShardStore* store, ThreadPool* pool, size_t buffer_bytes);

  // Fills in every hash and puts the shards into the store. What lies there already is compared and
  // left; a shard larger than a buffer is written anew. `on_bytes` gets bytes of shards as they are
  // done, on the caller's thread.
  absl::Status Make(std::span<PlannedShard> shards,
                    const std::function<void(uint64_t bytes)>& on_bytes);

  // The same for one shard that is in memory whole. Any thread.
  absl::Status Finish(std::span<const std::byte> file, ShardInfo* info);

  std::vector<Sha256Digest> written() const SHOAL_EXCLUDES(mu_);

 private:
  // Shards that fit into a buffer together, neighbours in the file; or one that does not fit.
  struct Batch {
    std::vector<PlannedShard*> shards;
    std::vector<size_t> begins;  // Where each lies in the buffer.
    uint64_t n_bytes = 0;
  };

  std::vector<Batch> Batches(std::span<PlannedShard> shards) const;
  absl::Status Fill(const Batch& batch, AlignedBuffer* buffer) const;
  absl::Status Stream(PlannedShard* shard);
  absl::Status StreamInto(PlannedShard* shard, WritableFile* file);
  // Whether nobody has come with that hash before: two experts may be the same bytes.
  bool IsFirst(const Sha256Digest& hash) SHOAL_EXCLUDES(mu_);
  void NoteWritten(const Sha256Digest& hash) SHOAL_EXCLUDES(mu_);

  const WeightSource& file_;
  ShardStore* const store_;
  ThreadPool* const pool_;
  const size_t buffer_bytes_;
  AlignedBuffer buffers_[2];
  mutable Mutex mu_;
  std::set<Sha256Digest> seen_ SHOAL_GUARDED_BY(mu_);
  std::vector<Sha256Digest> written_ SHOAL_GUARDED_BY(mu_);
};

}  // namespace shoal
