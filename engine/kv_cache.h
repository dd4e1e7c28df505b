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

// One sequence's share of the cache: blocks of kKeyTile positions, and a state where the model has
// layers with one; reserved at admission, wiped and returned when this is destroyed.
// Thread-compatible.
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
  // The step has succeeded: its positions count, and the states that it left.
  void Advance(int64_t n) {
    length_ += n;
    current_state_ ^= 1;
  }

 private:
  friend class KvCache;
  KvSequence(KvCache* cache, std::vector<int32_t> blocks, int64_t n_positions_max)
      : cache_(cache), blocks_(std::move(blocks)), n_positions_max_(n_positions_max) {}

  KvCache* cache_;
  std::vector<int32_t> blocks_;
  const int64_t n_positions_max_;
  int64_t length_ = 0;
  int64_t high_water_ = 0;  // End of what was ever written: what a release wipes.
  int32_t state_ = -1;      // Which of the cache's states; -1: the model has none.
  int current_state_ = 0;   // Which of its two copies is as of length().
};

// Keys and values of all sequences: [block][layer with attention][kv_head][k or v][kKeyTile]
// [head_dim]; of latent attention one row is both. A block is one key tile, so attention reads
// whole tiles. Beside them the states of layers with a recurrence, f32, two copies of each: a step
// reads one and writes the other, so that a step that fails has changed nothing. Reserve and
// release are thread-safe.
class KvCache {
 public:
  // Bytes that n_tokens positions take, states included.
  static int64_t BytesFor(const ModelConfig& config, const ModelSlice& slice, KvType type,
                          int64_t n_tokens);

  // Room for n_tokens positions, rounded up to blocks. ResourceExhausted, with the numbers,
  // when the system has less memory than that.
  static absl::StatusOr<std::unique_ptr<KvCache>> Create(const ModelConfig& config,
                                                         const ModelSlice& slice, KvType type,
                                                         int64_t n_tokens);

  // ResourceExhausted when fewer blocks are free than n_tokens need, or no state. The cache
  // outlives the result.
  absl::StatusOr<std::unique_ptr<KvSequence>> Reserve(int64_t n_tokens);

  // The tile of keys (or values) that holds position `pos`.
  void* KeyTile(const KvSequence& sequence, int layer, int kv_head, int64_t pos);
  void* ValueTile(const KvSequence& sequence, int layer, int kv_head, int64_t pos);

  // The state of a layer that has one, [StateFloats(layer)], zeros in a new sequence: as of
  // length(), and where the step under way puts its own.
  const float* State(const KvSequence& sequence, int layer) const;
  float* NextState(const KvSequence& sequence, int layer);
  static int64_t StateFloats(const ModelConfig& config, int layer);

  KvType type() const { return type_; }
  int64_t n_bytes() const { return static_cast<int64_t>(buffer_.size() + states_.size()); }
  int64_t capacity_tokens() const { return static_cast<int64_t>(n_blocks_) * kKeyTile; }
  int64_t free_tokens() const;

 private:
  friend class KvSequence;
  KvCache(const ModelConfig& config, const ModelSlice& slice, KvType type, int n_blocks,
          int n_states);
  void Release(const KvSequence& sequence);
  std::byte* Tile(const KvSequence& sequence, int layer, int kv_head, int64_t pos, int which);
  int64_t StateOffset(int32_t state, int copy, int layer) const;

  const KvType type_;
  const int first_layer_;
  const std::vector<int> tile_layers_;        // Of each layer: its place among those with tiles.
  const std::vector<int64_t> state_offsets_;  // Of each layer in a state, then a state's floats.
  const int n_layers_;                        // With tiles.
  const int tiles_per_head_;                  // Keys and values, or one for both.
  const int first_kv_head_;
  const int n_kv_heads_;
  const int64_t tile_bytes_;
  const int n_blocks_;
  AlignedBuffer buffer_;
  mutable Mutex mu_;
  std::vector<int32_t> free_blocks_ SHOAL_GUARDED_BY(mu_);
  AlignedBuffer states_;
  std::vector<int32_t> free_states_ SHOAL_GUARDED_BY(mu_);
};

}  // namespace shoal
