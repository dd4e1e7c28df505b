#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/aligned_buffer.h"
#include "base/mutex.h"
#include "model/manifest.h"
#include "model/shard_store.h"
#include "model/weight_source.h"

namespace shoal {

// A model's weights out of its shards, under the names and shapes that its model file had: experts
// appear as stacks [n_experts, rows, cols]. A shard is read and verified whole (I5) when a part of
// it is first wanted, and stays in memory until `max_cached` others were wanted after it: whoever
// reads shard by shard, as MatrixLoader does, reads and hashes each byte once. Different shards
// load at the same time on different threads. Thread-safe.
class ShardWeights final : public WeightSource {
 public:
  // InvalidArgument unless the manifest has exactly the tensors that its architecture needs, of the
  // right shapes. `manifest` and `store` outlive this; max_cached >= 1, best two for each thread.
  static absl::StatusOr<std::unique_ptr<ShardWeights>> Create(const Manifest* manifest,
                                                              ShardStore* store, int max_cached);

  const TensorInfo* Find(std::string_view name) const override;
  StackSlice SliceOf(const TensorInfo& stack, int64_t i) const override;
  // Besides DataLoss: NotFound when the shard is not here.
  absl::Status Read(const TensorInfo& tensor, uint64_t offset,
                    std::span<std::byte> out) const override;

  // Frees what is kept; for when loading is over.
  void DropCache();

 private:
  // Where a tensor's bytes lie: slice after slice.
  struct Slice {
    const ShardInfo* shard = nullptr;
    uint64_t shard_offset = 0;  // Into the shard's file.
    StackSlice slice;           // Its place in the tensor.
  };
  struct Tensor {
    TensorInfo info;  // file_offset is its place in tensors_.
    std::vector<Slice> slices;
  };
  struct Cached {
    std::shared_ptr<AlignedBuffer> bytes;  // Null while a thread loads it.
    uint64_t last_use = 0;
  };
  class Builder;

  ShardWeights(ShardStore* store, size_t max_cached) : store_(store), max_cached_(max_cached) {}
  absl::StatusOr<std::shared_ptr<const AlignedBuffer>> Bytes(const ShardInfo& shard) const
      SHOAL_EXCLUDES(mu_);
  void EvictOldest() const SHOAL_REQUIRES(mu_);
  // Buffers that nobody reads any more, for the next shards: fresh memory is slow.
  AlignedBuffer TakeSpare(uint64_t n_bytes) const SHOAL_EXCLUDES(spare_mu_);
  void GiveBack(AlignedBuffer buffer) const SHOAL_EXCLUDES(spare_mu_);

  ShardStore* const store_;
  const size_t max_cached_;
  std::vector<Tensor> tensors_;
  absl::flat_hash_map<std::string, size_t> index_;
  mutable Mutex spare_mu_;
  mutable std::vector<AlignedBuffer> spare_ SHOAL_GUARDED_BY(spare_mu_);
  mutable Mutex mu_ SHOAL_ACQUIRED_BEFORE(spare_mu_);
  mutable CondVar loaded_;
  mutable std::map<const ShardInfo*, Cached> cache_ SHOAL_GUARDED_BY(mu_);
  mutable uint64_t uses_ SHOAL_GUARDED_BY(mu_) = 0;
};

}  // namespace shoal
