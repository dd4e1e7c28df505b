#include "engine/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/checked.h"
#include "base/limits.h"
#include "base/memory.h"

namespace shoal {
namespace {

// Bytes of one layer's one head's keys (or values) of one block.
int64_t TileBytes(const ModelConfig& config, KvType type) {
  return kKeyTile * KvRowBytes(type, config.head_dim);
}

int64_t BlocksFor(int64_t n_tokens) { return (n_tokens + kKeyTile - 1) / kKeyTile; }

int TilesPerHead(const ModelConfig& config) { return config.HasLatentAttention() ? 1 : 2; }

bool HasTiles(const ModelConfig& config, int layer) {
  return config.MixerOf(layer) == Mixer::kAttention;
}

std::vector<int> TileLayers(const ModelConfig& config, const ModelSlice& slice) {
  std::vector<int> places;
  int n = 0;
  for (int layer = slice.layers.begin; layer < slice.layers.end; ++layer) {
    places.push_back(HasTiles(config, layer) ? n++ : -1);
  }
  return places;
}

int CountTileLayers(const std::vector<int>& places) {
  return static_cast<int>(
      std::count_if(places.begin(), places.end(), [](int p) { return p >= 0; }));
}

std::vector<int64_t> StateOffsets(const ModelConfig& config, const ModelSlice& slice) {
  constexpr int64_t kLine = AlignedBuffer::kAlignment / sizeof(float);
  std::vector<int64_t> offsets = {0};
  for (int layer = slice.layers.begin; layer < slice.layers.end; ++layer) {
    const int64_t n = KvCache::StateFloats(config, layer);
    offsets.push_back(offsets.back() + (n + kLine - 1) / kLine * kLine);
  }
  return offsets;
}

Checked<int64_t> BlockBytes(const ModelConfig& config, const ModelSlice& slice, KvType type) {
  return Checked<int64_t>(TileBytes(config, type)) * CountTileLayers(TileLayers(config, slice)) *
         slice.kv_heads.size() * TilesPerHead(config);
}

// States are one for each sequence of a step, as far as they take no more memory than keys and
// values, but for some at least.
int64_t StatesFor(const ModelConfig& config, const ModelSlice& slice, KvType type,
                  int64_t n_blocks) {
  constexpr int64_t kAtLeast = 8;
  const int64_t state_bytes = StateOffsets(config, slice).back() * 2 * int64_t{sizeof(float)};
  if (state_bytes == 0) return 0;
  const int64_t block_bytes = BlockBytes(config, slice, type).value().value_or(0);
  const int64_t as_much =
      (Checked<int64_t>(block_bytes) * n_blocks).value().value_or(0) / state_bytes;
  return std::min(n_blocks, std::clamp<int64_t>(as_much, kAtLeast, kMaxBatchSequences));
}

}  // namespace

KvSequence::~KvSequence() { cache_->Release(*this); }

int64_t KvSequence::capacity() const { return static_cast<int64_t>(blocks_.size()) * kKeyTile; }

int64_t KvCache::StateFloats(const ModelConfig& config, int layer) {
  const int64_t past = config.conv_kernel - 1;
  switch (config.MixerOf(layer)) {
    case Mixer::kAttention:
      return 0;
    case Mixer::kShortConvolution:
      return past * config.hidden_dim;
    case Mixer::kDeltaRule:
      return past * config.DeltaChannels() + int64_t{config.DeltaValues()} * config.delta_key_dim;
  }
  return 0;
}

KvCache::KvCache(const ModelConfig& config, const ModelSlice& slice, KvType type, int n_blocks,
                 int n_states)
    : type_(type),
      first_layer_(slice.layers.begin),
      tile_layers_(TileLayers(config, slice)),
      state_offsets_(StateOffsets(config, slice)),
      n_layers_(CountTileLayers(tile_layers_)),
      tiles_per_head_(TilesPerHead(config)),
      first_kv_head_(slice.kv_heads.begin),
      n_kv_heads_(slice.kv_heads.size()),
      tile_bytes_(TileBytes(config, type)),
      n_blocks_(n_blocks),
      buffer_(
          static_cast<size_t>(n_blocks * tile_bytes_ * n_layers_ * n_kv_heads_ * tiles_per_head_)),
      free_blocks_(n_blocks),
      states_(static_cast<size_t>(n_states * 2 * state_offsets_.back()) * sizeof(float)),
      free_states_(n_states) {
  // Blocks are handed out from the back: lowest first, so that unused memory stays untouched.
  std::iota(free_blocks_.rbegin(), free_blocks_.rend(), 0);
  std::iota(free_states_.rbegin(), free_states_.rend(), 0);
}

int64_t KvCache::BytesFor(const ModelConfig& config, const ModelSlice& slice, KvType type,
                          int64_t n_tokens) {
  const int64_t n_blocks = BlocksFor(n_tokens);
  const Checked<int64_t> states = Checked<int64_t>(StatesFor(config, slice, type, n_blocks)) * 2 *
                                  StateOffsets(config, slice).back() * int64_t{sizeof(float)};
  return (BlockBytes(config, slice, type) * n_blocks + states)
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
  const int64_t n_blocks = BlocksFor(n_tokens);
  const int64_t n_states = StatesFor(config, slice, type, n_blocks);
  return std::unique_ptr<KvCache>(
      new KvCache(config, slice, type, static_cast<int>(n_blocks), static_cast<int>(n_states)));
}

absl::StatusOr<std::unique_ptr<KvSequence>> KvCache::Reserve(int64_t n_tokens) {
  const int64_t n_blocks = BlocksFor(n_tokens);
  MutexLock lock(&mu_);
  if (n_blocks > static_cast<int64_t>(free_blocks_.size())) {
    return absl::ResourceExhaustedError(
        absl::StrCat("KV cache: ", n_tokens, " positions asked for, ",
                     free_blocks_.size() * kKeyTile, " of ", capacity_tokens(), " free"));
  }
  const bool has_states = state_offsets_.back() > 0;
  if (has_states && free_states_.empty()) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "KV cache: all of its ", states_.size() / (2 * sizeof(float) * state_offsets_.back()),
        " states are in use; that many sequences at once"));
  }
  std::vector<int32_t> blocks(free_blocks_.rbegin(), free_blocks_.rbegin() + n_blocks);
  free_blocks_.resize(free_blocks_.size() - n_blocks);
  std::unique_ptr<KvSequence> sequence(new KvSequence(this, std::move(blocks), n_tokens));
  if (!has_states) return sequence;
  sequence->state_ = free_states_.back();
  free_states_.pop_back();
  return sequence;
}

void KvCache::Release(const KvSequence& sequence) {
  // Keys and values can be turned back into text: nobody may find them in memory handed out again.
  const int64_t block_bytes = tile_bytes_ * n_layers_ * n_kv_heads_ * tiles_per_head_;
  const int64_t n_used = (sequence.high_water_ + kKeyTile - 1) / kKeyTile;
  for (int64_t i = 0; i < n_used; ++i) {
    std::memset(buffer_.data() + sequence.blocks_[i] * block_bytes, 0, block_bytes);
  }
  if (sequence.state_ >= 0 && n_used > 0) {
    float* const state = reinterpret_cast<float*>(states_.data()) +
                         int64_t{2} * sequence.state_ * state_offsets_.back();
    std::memset(state, 0, 2 * state_offsets_.back() * sizeof(float));
  }
  MutexLock lock(&mu_);
  free_blocks_.insert(free_blocks_.end(), sequence.blocks_.rbegin(), sequence.blocks_.rend());
  if (sequence.state_ >= 0) free_states_.push_back(sequence.state_);
}

int64_t KvCache::StateOffset(int32_t state, int copy, int layer) const {
  SHOAL_DCHECK(state >= 0);
  return (int64_t{2} * state + copy) * state_offsets_.back() + state_offsets_[layer - first_layer_];
}

const float* KvCache::State(const KvSequence& sequence, int layer) const {
  return reinterpret_cast<const float*>(states_.data()) +
         StateOffset(sequence.state_, sequence.current_state_, layer);
}

float* KvCache::NextState(const KvSequence& sequence, int layer) {
  return reinterpret_cast<float*>(states_.data()) +
         StateOffset(sequence.state_, sequence.current_state_ ^ 1, layer);
}

std::byte* KvCache::Tile(const KvSequence& sequence, int layer, int kv_head, int64_t pos,
                         int which) {
  SHOAL_DCHECK(pos < sequence.capacity());
  const int64_t block = sequence.blocks_[pos / kKeyTile];
  const int64_t index = ((block * n_layers_ + tile_layers_[layer - first_layer_]) * n_kv_heads_ +
                         kv_head - first_kv_head_) *
                            tiles_per_head_ +
                        which;
  return buffer_.data() + index * tile_bytes_;
}

void* KvCache::KeyTile(const KvSequence& sequence, int layer, int kv_head, int64_t pos) {
  return Tile(sequence, layer, kv_head, pos, 0);
}

void* KvCache::ValueTile(const KvSequence& sequence, int layer, int kv_head, int64_t pos) {
  return Tile(sequence, layer, kv_head, pos, tiles_per_head_ - 1);
}

int64_t KvCache::free_tokens() const {
  MutexLock lock(&mu_);
  return static_cast<int64_t>(free_blocks_.size()) * kKeyTile;
}

}  // namespace shoal
