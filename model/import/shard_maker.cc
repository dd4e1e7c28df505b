#include "model/import/shard_maker.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "model/shard.h"

namespace shoal {
namespace {

// A stretch of the model file and where it goes.
struct PendingRead {
  const TensorInfo* tensor;
  uint64_t tensor_offset;
  std::span<std::byte> out;
};

uint64_t FirstByte(const WeightSource& file, const PlannedShard& shard) {
  uint64_t first = UINT64_MAX;
  for (const PlannedShard::Piece& piece : shard.pieces) {
    first = std::min(first, file.Position(*piece.tensor, piece.tensor_offset));
  }
  return first;
}

// Writes what of the shard's file in [begin, begin + out.size()) is no tensor, and says what to
// read for the rest.
void Outline(const PlannedShard& shard, uint64_t begin, std::span<std::byte> out,
             std::vector<PendingRead>* reads) {
  const uint64_t end = begin + out.size();
  const auto at = [&](uint64_t offset) { return out.data() + (offset - begin); };
  uint64_t done = begin;
  if (begin == 0) {
    const auto header = EncodeShardHeader(shard.info.file_bytes - kShardHeaderBytes);
    SHOAL_CHECK_LE(header.size(), out.size());
    std::memcpy(out.data(), header.data(), header.size());
    done = header.size();
  }
  for (const PlannedShard::Piece& piece : shard.pieces) {
    const uint64_t from = std::clamp(piece.shard_offset, done, end);
    const uint64_t to = std::clamp(piece.shard_offset + piece.n_bytes, from, end);
    std::memset(at(done), 0, from - done);  // Padding.
    if (to > from) {
      reads->push_back({piece.tensor,
                        piece.tensor_offset + (from - piece.shard_offset),
                        {at(from), static_cast<size_t>(to - from)}});
    }
    done = to;
  }
  SHOAL_CHECK_EQ(done, end);  // A shard ends with a tensor.
}

absl::Status ReadAll(const WeightSource& file, std::vector<PendingRead>* reads) {
  std::sort(reads->begin(), reads->end(), [&](const PendingRead& a, const PendingRead& b) {
    return file.Position(*a.tensor, a.tensor_offset) < file.Position(*b.tensor, b.tensor_offset);
  });
  for (const PendingRead& read : *reads) {
    SHOAL_RETURN_IF_ERROR(file.Read(*read.tensor, read.tensor_offset, read.out));
  }
  return absl::OkStatus();
}

void AppendChunkHashes(std::span<const std::byte> bytes, std::vector<Sha256Digest>* chunks) {
  for (size_t at = 0; at < bytes.size(); at += kShardChunkBytes) {
    chunks->push_back(Sha256(bytes.subspan(at, std::min(kShardChunkBytes, bytes.size() - at))));
  }
}

constexpr size_t RoundUp(size_t n) {
  return (n + kShardAlignment - 1) / kShardAlignment * kShardAlignment;
}

}  // namespace

ShardMaker::ShardMaker(const WeightSource& file, ShardStore* store, ThreadPool* pool,
                       size_t buffer_bytes)
    : file_(file),
      store_(store),
      pool_(pool),
      buffer_bytes_(buffer_bytes),
      buffers_{AlignedBuffer(buffer_bytes), AlignedBuffer(buffer_bytes)} {
  SHOAL_CHECK(buffer_bytes > 0 && buffer_bytes % kShardChunkBytes == 0);
}

std::vector<ShardMaker::Batch> ShardMaker::Batches(std::span<PlannedShard> shards) const {
  std::vector<PlannedShard*> order;
  for (PlannedShard& shard : shards) order.push_back(&shard);
  std::stable_sort(order.begin(), order.end(),
                   [this](const PlannedShard* a, const PlannedShard* b) {
                     return FirstByte(file_, *a) < FirstByte(file_, *b);
                   });
  std::vector<Batch> batches;
  size_t used = buffer_bytes_;  // Of the last batch's buffer.
  for (PlannedShard* shard : order) {
    const uint64_t n_bytes = shard->info.file_bytes;
    if (n_bytes > buffer_bytes_ - used) {
      batches.emplace_back();
      used = 0;
    }
    batches.back().shards.push_back(shard);
    batches.back().begins.push_back(used);
    batches.back().n_bytes += n_bytes;
    used = std::min<uint64_t>(RoundUp(used + n_bytes), buffer_bytes_);
  }
  return batches;
}

absl::Status ShardMaker::Fill(const Batch& batch, AlignedBuffer* buffer) const {
  if (batch.n_bytes > buffer_bytes_) return absl::OkStatus();  // It will be streamed.
  std::vector<PendingRead> reads;
  for (size_t i = 0; i < batch.shards.size(); ++i) {
    const PlannedShard& shard = *batch.shards[i];
    Outline(shard, 0, {buffer->data() + batch.begins[i], shard.info.file_bytes}, &reads);
  }
  return ReadAll(file_, &reads);
}

absl::Status ShardMaker::Make(std::span<PlannedShard> shards,
                              const std::function<void(uint64_t bytes)>& on_bytes) {
  const std::vector<Batch> batches = Batches(shards);
  if (batches.empty()) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(Fill(batches[0], &buffers_[0]));
  for (size_t b = 0; b < batches.size(); ++b) {
    const Batch& batch = batches[b];
    if (batch.n_bytes > buffer_bytes_) {
      SHOAL_RETURN_IF_ERROR(Stream(batch.shards[0]));
      if (b + 1 < batches.size())
        SHOAL_RETURN_IF_ERROR(Fill(batches[b + 1], &buffers_[(b + 1) % 2]));
    } else {
      // Task 0 reads what comes next; the others finish what is here.
      std::vector<absl::Status> status(batch.shards.size() + 1);
      pool_->ParallelFor(static_cast<int64_t>(status.size()), 1, [&](int64_t i, int64_t, int) {
        if (i == 0) {
          if (b + 1 < batches.size()) status[0] = Fill(batches[b + 1], &buffers_[(b + 1) % 2]);
          return;
        }
        ShardInfo* info = &batch.shards[i - 1]->info;
        const std::byte* begin = buffers_[b % 2].data() + batch.begins[i - 1];
        status[i] = Finish({begin, info->file_bytes}, info);
      });
      for (const absl::Status& s : status) SHOAL_RETURN_IF_ERROR(s);
    }
    on_bytes(batch.n_bytes);
  }
  return absl::OkStatus();
}

absl::Status ShardMaker::Finish(std::span<const std::byte> file, ShardInfo* info) {
  info->hash = Sha256(file);
  info->chunks.clear();
  if (file.size() > kShardChunkBytes) AppendChunkHashes(file, &info->chunks);
  if (!IsFirst(info->hash)) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(const bool written, store_->Put(info->hash, file));
  if (written) NoteWritten(info->hash);
  return absl::OkStatus();
}

bool ShardMaker::IsFirst(const Sha256Digest& hash) {
  const MutexLock lock(&mu_);
  return seen_.insert(hash).second;
}

void ShardMaker::NoteWritten(const Sha256Digest& hash) {
  const MutexLock lock(&mu_);
  written_.push_back(hash);
}

std::vector<Sha256Digest> ShardMaker::written() const {
  const MutexLock lock(&mu_);
  return written_;
}

absl::Status ShardMaker::Stream(PlannedShard* shard) {
  absl::Status status;
  {
    SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, store_->CreateUnnamed());
    status = StreamInto(shard, file.get());
    // It may take the place of one that a model has already, and that is on the disk.
    if (status.ok()) status = file->Sync();
  }
  if (status.ok()) status = store_->PutUnnamed(shard->info.hash);
  if (!status.ok()) {
    store_->RemoveUnnamed();
    return status;
  }
  NoteWritten(shard->info.hash);
  return absl::OkStatus();
}

// Piece by piece: while one is hashed, as a whole and by chunks, and written, the next is read.
absl::Status ShardMaker::StreamInto(PlannedShard* shard, WritableFile* file) {
  const uint64_t n_bytes = shard->info.file_bytes;
  const auto piece_at = [&](uint64_t begin) {
    const uint64_t n = begin < n_bytes ? std::min<uint64_t>(buffer_bytes_, n_bytes - begin) : 0;
    return std::span(buffers_[begin / buffer_bytes_ % 2].data(), static_cast<size_t>(n));
  };
  const auto read = [&](uint64_t begin) {
    std::vector<PendingRead> reads;
    if (const auto piece = piece_at(begin); !piece.empty()) Outline(*shard, begin, piece, &reads);
    return ReadAll(file_, &reads);
  };
  Sha256Stream whole;
  shard->info.chunks.clear();
  SHOAL_RETURN_IF_ERROR(read(0));
  for (uint64_t begin = 0; begin < n_bytes; begin += buffer_bytes_) {
    const std::span<const std::byte> piece = piece_at(begin);
    absl::Status status[2];
    pool_->ParallelFor(4, 1, [&](int64_t task, int64_t, int) {
      if (task == 0) status[0] = read(begin + buffer_bytes_);
      if (task == 1) whole.Update(piece);
      if (task == 2) AppendChunkHashes(piece, &shard->info.chunks);
      if (task == 3) status[1] = file->Append(piece);
    });
    for (const absl::Status& s : status) SHOAL_RETURN_IF_ERROR(s);
  }
  shard->info.hash = whole.Finish();
  return absl::OkStatus();
}

}  // namespace shoal
