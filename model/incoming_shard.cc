#include "model/incoming_shard.h"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/shard.h"

namespace shoal {
namespace {

class IncomingShard final : public ShardStore::Incoming {
 public:
  IncomingShard(FileSystem* files, const ShardInfo& shard, std::string part, std::string path,
                std::function<void()> on_put)
      : files_(files),
        shard_(shard),
        part_(std::move(part)),
        path_(std::move(path)),
        on_put_(std::move(on_put)) {}

  // Takes over the good begin of an earlier one.
  absl::Status Start() {
    const absl::StatusOr<std::unique_ptr<ReadableFile>> earlier = files_->Open(part_);
    if (earlier.ok()) {
      const uint64_t good = GoodBytes(**earlier);
      if (good == (*earlier)->size()) return Continue(**earlier, good);
      return Salvage(**earlier, good);
    }
    SHOAL_ASSIGN_OR_RETURN(file_, files_->Create(part_));
    return absl::OkStatus();
  }

  uint64_t next_offset() const override { return next_offset_; }

  size_t next_bytes() const override {
    return static_cast<size_t>(
        std::min<uint64_t>(kShardChunkBytes, shard_.file_bytes - next_offset_));
  }

  absl::Status Append(std::span<const std::byte> chunk) override {
    SHOAL_RETURN_IF_ERROR(ExpectOpen());
    if (chunk.empty() || chunk.size() != next_bytes() || !IsGood(next_offset_, chunk)) {
      return absl::DataLossError(
          absl::StrCat("shard ", ToHex(shard_.hash), ": the ", chunk.size(), " bytes for offset ",
                       next_offset_, " are not its next ", next_bytes(), "; ask another source"));
    }
    return Write(chunk);
  }

  absl::Status Commit() override {
    SHOAL_RETURN_IF_ERROR(ExpectOpen());
    if (next_offset_ != shard_.file_bytes) {
      return absl::FailedPreconditionError(absl::StrCat(
          "shard ", ToHex(shard_.hash), ": has ", next_offset_, " bytes of ", shard_.file_bytes));
    }
    if (hash_.Finish() != shard_.hash) {
      Discard();
      return absl::DataLossError(absl::StrCat("shard ", ToHex(shard_.hash),
                                              ": its chunks are good, the whole is not: the "
                                              "manifest contradicts itself"));
    }
    file_.reset();
    SHOAL_RETURN_IF_ERROR(files_->Rename(part_, path_));
    on_put_();
    return absl::OkStatus();
  }

 private:
  bool IsGood(uint64_t offset, std::span<const std::byte> chunk) const {
    const size_t i = static_cast<size_t>(offset / kShardChunkBytes);
    if (shard_.chunks.empty()) return i == 0 && Sha256(chunk) == shard_.hash;
    return i < shard_.chunks.size() && Sha256(chunk) == shard_.chunks[i];
  }

  size_t ChunkBytes(uint64_t offset) const {
    return static_cast<size_t>(std::min<uint64_t>(kShardChunkBytes, shard_.file_bytes - offset));
  }

  // How far from the begin `file` holds whole good chunks. Reads that fail end it.
  uint64_t GoodBytes(const ReadableFile& file) const {
    std::vector<std::byte> chunk;
    uint64_t at = 0;
    while (at < shard_.file_bytes) {
      chunk.resize(ChunkBytes(at));
      if (chunk.size() > file.size() - at || !file.Read(at, chunk).ok() || !IsGood(at, chunk))
        break;
      at += chunk.size();
    }
    return at;
  }

  // Everything in `earlier` is good: appends to it.
  absl::Status Continue(const ReadableFile& earlier, uint64_t good) {
    SHOAL_ASSIGN_OR_RETURN(file_, files_->OpenToAppend(part_));
    return ReadBegin(earlier, good, /*write=*/false);
  }

  // Something behind the good begin of `earlier` is not: a file anew, with only that.
  absl::Status Salvage(const ReadableFile& earlier, uint64_t good) {
    SHOAL_ASSIGN_OR_RETURN(file_, files_->Create(part_));
    return ReadBegin(earlier, good, /*write=*/true);
  }

  // Every chunk is checked once more: what counts is the bytes that were hashed here.
  absl::Status ReadBegin(const ReadableFile& earlier, uint64_t good, bool write) {
    std::vector<std::byte> chunk;
    while (next_offset_ < good) {
      chunk.resize(next_bytes());
      SHOAL_RETURN_IF_ERROR(earlier.Read(next_offset_, chunk));
      if (write) {
        SHOAL_RETURN_IF_ERROR(Append(chunk));
        continue;
      }
      hash_.Update(chunk);
      next_offset_ += chunk.size();
    }
    return absl::OkStatus();
  }

  absl::Status Write(std::span<const std::byte> chunk) {
    const absl::Status written = file_->Append(chunk);
    if (!written.ok()) {
      Discard();
      return written;
    }
    hash_.Update(chunk);
    next_offset_ += chunk.size();
    return absl::OkStatus();
  }

  absl::Status ExpectOpen() const {
    if (file_ != nullptr) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        "shard ", ToHex(shard_.hash), ": committed, or thrown away after a failure; receive anew"));
  }

  // What a failed write left is never continued (F12).
  void Discard() {
    file_.reset();
    files_->Remove(part_).IgnoreError();  // Best effort: its chunks are checked before any use.
  }

  FileSystem* const files_;
  const ShardInfo& shard_;
  const std::string part_;
  const std::string path_;
  const std::function<void()> on_put_;
  std::unique_ptr<WritableFile> file_;  // Null once it is committed or discarded.
  Sha256Stream hash_;
  uint64_t next_offset_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ShardStore::Incoming>> OpenIncomingShard(
    FileSystem* files, const ShardInfo& shard, std::string part, std::string path,
    std::function<void()> on_put) {
  auto incoming = std::make_unique<IncomingShard>(files, shard, std::move(part), std::move(path),
                                                  std::move(on_put));
  SHOAL_RETURN_IF_ERROR(incoming->Start());
  return incoming;
}

}  // namespace shoal
