#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "base/aligned_buffer.h"
#include "base/mutex.h"
#include "engine/model_slice.h"
#include "kernels/kernel_table.h"
#include "model/model_config.h"

namespace shoal {

class KvCache;

// One sequence's share of the cache: blocks of kKeyTile positions, reserved at admission, wiped
// and returned when this is destroyed. Thread-compatible.
class KvSequence {
 public:
  ~KvSequence();
  KvSequence(const KvSequence&) = delete;
  KvSequence& operator=(const KvSequence&) = delete;

  int64_t length() const { return length_; }                    // Positions computed so far.
  int64_t capacity() const;                                     // Positions reserved: whole blocks.
  int64_t n_positions_max() const { return n_positions_max_; }  // Positions asked for.
  // Says that positions below `end` may have been written, whether or not the step succeeds.
  void MarkWritten(int64_t end) { high_water_ = std::max(high_water_, end); }
  void Advance(int64_t n) { length_ += n; }
  void Truncate(int64_t length) { length_ = length; }  // Forgets positions from `length` on.

 private:
  friend class KvCache;
  KvSequence(KvCache* cache, std::vector<int32_t> blocks, int64_t n_positions_max)
      : cache_(cache), blocks_(std::move(blocks)), n_positions_max_(n_positions_max) {}

  KvCache* cache_;
  std::vector<int32_t> blocks_;
  const int64_t n_positions_max_;
  int64_t length_ = 0;
  int64_t high_water_ = 0;  // End of what was ever written: what a release wipes.
};

// Keys and values of all sequences: [block][layer][kv_head][k or v][kKeyTile][head_dim]. A block is
// one key tile, so attention reads whole tiles. Reserve and release are thread-safe.
class KvCache {
 public:
  // Bytes that n_tokens positions take.
  static int64_t BytesFor(const ModelConfig& config, const ModelSlice& slice, KvType type,
                          int64_t n_tokens);

  // Room for n_tokens positions, rounded up to blocks. ResourceExhausted, with the numbers,
  // when the system has less memory than that.
  static absl::StatusOr<std::unique_ptr<KvCache>> Create(const ModelConfig& config,
                                                         const ModelSlice& slice, KvType type,
                                                         int64_t n_tokens);

  // ResourceExhausted when fewer blocks are free than n_tokens need. The cache outlives the result.
  absl::StatusOr<std::unique_ptr<KvSequence>> Reserve(int64_t n_tokens);

  // The tile of keys (or values) that holds position `pos`.
  void* KeyTile(const KvSequence& sequence, int layer, int kv_head, int64_t pos);
  void* ValueTile(const KvSequence& sequence, int layer, int kv_head, int64_t pos);

  KvType type() const { return type_; }
  int64_t n_bytes() const { return static_cast<int64_t>(buffer_.size()); }
  int64_t capacity_tokens() const { return static_cast<int64_t>(n_blocks_) * kKeyTile; }
  int64_t free_tokens() const;

 private:
  friend class KvSequence;
  KvCache(const ModelConfig& config, const ModelSlice& slice, KvType type, int n_blocks);
  void Release(const KvSequence& sequence);
  std::byte* Tile(const KvSequence& sequence, int layer, int kv_head, int64_t pos, int which);

  const KvType type_;
  const int first_layer_;
  const int n_layers_;
  const int first_kv_head_;
  const int n_kv_heads_;
  const int64_t tile_bytes_;
  const int n_blocks_;
  AlignedBuffer buffer_;
  mutable Mutex mu_;
  std::vector<int32_t> free_blocks_ SHOAL_GUARDED_BY(mu_);
};

}  // namespace shoal
