#include "engine/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/checked.h"
#include "base/memory.h"

namespace shoal {
namespace {

// Bytes of one layer's one head's keys (or values) of one block.
int64_t TileBytes(const ModelConfig& config, KvType type) {
  return kKeyTile * KvRowBytes(type, config.head_dim);
}

}  // namespace

KvSequence::~KvSequence() { cache_->Release(*this); }

int64_t KvSequence::capacity() const { return static_cast<int64_t>(blocks_.size()) * kKeyTile; }

KvCache::KvCache(const ModelConfig& config, const ModelSlice& slice, KvType type, int n_blocks)
    : type_(type),
      first_layer_(slice.layers.begin),
      n_layers_(slice.layers.size()),
      first_kv_head_(slice.kv_heads.begin),
      n_kv_heads_(slice.kv_heads.size()),
      tile_bytes_(TileBytes(config, type)),
      n_blocks_(n_blocks),
      buffer_(static_cast<size_t>(n_blocks * tile_bytes_ * n_layers_ * n_kv_heads_ * 2)),
      free_blocks_(n_blocks) {
  // Blocks are handed out from the back: lowest first, so that unused memory stays untouched.
  std::iota(free_blocks_.rbegin(), free_blocks_.rend(), 0);
}

int64_t KvCache::BytesFor(const ModelConfig& config, const ModelSlice& slice, KvType type,
                          int64_t n_tokens) {
  const int64_t n_blocks = (n_tokens + kKeyTile - 1) / kKeyTile;
  return (Checked<int64_t>(n_blocks) * TileBytes(config, type) * slice.layers.size() *
          slice.kv_heads.size() * 2)
      .value()
      .value_or(std::numeric_limits<int64_t>::max());
}

absl::StatusOr<std::unique_ptr<KvCache>> KvCache::Create(const ModelConfig& config,
                                                         const ModelSlice& slice, KvType type,
                                                         int64_t n_tokens) {
  const int64_t n_bytes = BytesFor(config, slice, type, n_tokens);
  const int64_t available = AvailableMemoryBytes();
  if (n_bytes > available) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "KV cache: ", n_tokens, " positions need ", n_bytes >> 20, " MiB, but ", available >> 20,
        " MiB of memory are available; lower --ctx-size or --kv-bytes, or use a smaller "
        "--kv-type"));
  }
  const int64_t n_blocks = (n_tokens + kKeyTile - 1) / kKeyTile;
  return std::unique_ptr<KvCache>(new KvCache(config, slice, type, static_cast<int>(n_blocks)));
}

absl::StatusOr<std::unique_ptr<KvSequence>> KvCache::Reserve(int64_t n_tokens) {
  const int64_t n_blocks = (n_tokens + kKeyTile - 1) / kKeyTile;
  MutexLock lock(&mu_);
  if (n_blocks > static_cast<int64_t>(free_blocks_.size())) {
    return absl::ResourceExhaustedError(
        absl::StrCat("KV cache: ", n_tokens, " positions asked for, ",
                     free_blocks_.size() * kKeyTile, " of ", capacity_tokens(), " free"));
  }
  std::vector<int32_t> blocks(free_blocks_.rbegin(), free_blocks_.rbegin() + n_blocks);
  free_blocks_.resize(free_blocks_.size() - n_blocks);
  return std::unique_ptr<KvSequence>(new KvSequence(this, std::move(blocks), n_tokens));
}

void KvCache::Release(const KvSequence& sequence) {
  // Keys and values can be turned back into text: nobody may find them in memory handed out again.
  const int64_t block_bytes = tile_bytes_ * n_layers_ * n_kv_heads_ * 2;
  const int64_t n_used = (sequence.high_water_ + kKeyTile - 1) / kKeyTile;
  for (int64_t i = 0; i < n_used; ++i) {
    std::memset(buffer_.data() + sequence.blocks_[i] * block_bytes, 0, block_bytes);
  }
  MutexLock lock(&mu_);
  free_blocks_.insert(free_blocks_.end(), sequence.blocks_.rbegin(), sequence.blocks_.rend());
}

std::byte* KvCache::Tile(const KvSequence& sequence, int layer, int kv_head, int64_t pos,
                         int which) {
  SHOAL_DCHECK(pos < sequence.capacity());
  const int64_t block = sequence.blocks_[pos / kKeyTile];
  const int64_t index =
      ((block * n_layers_ + layer - first_layer_) * n_kv_heads_ + kv_head - first_kv_head_) * 2 +
      which;
  return buffer_.data() + index * tile_bytes_;
}

void* KvCache::KeyTile(const KvSequence& sequence, int layer, int kv_head, int64_t pos) {
  return Tile(sequence, layer, kv_head, pos, 0);
}

void* KvCache::ValueTile(const KvSequence& sequence, int layer, int kv_head, int64_t pos) {
  return Tile(sequence, layer, kv_head, pos, 1);
}

int64_t KvCache::free_tokens() const {
  MutexLock lock(&mu_);
  return static_cast<int64_t>(free_blocks_.size()) * kKeyTile;
}

}  // namespace shoal
