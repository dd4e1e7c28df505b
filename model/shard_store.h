#pragma once

#include <array>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/aligned_buffer.h"
#include "base/file_system.h"
#include "base/mutex.h"
#include "base/sha256.h"
#include "model/manifest.h"
#include "model/shard.h"

namespace shoal {

// The shards of a data directory, under their hashes. Half-written files have names of their own
// (PATH.part) and are never taken for shards. Thread-safe.
class ShardStore {
 public:
  // Creates `directory` if it is not there.
  static absl::StatusOr<std::unique_ptr<ShardStore>> Open(FileSystem* files, std::string directory);

  // Whether a file of that name and size lies here; says nothing about its bytes.
  bool Has(const ShardInfo& shard) const;

  // A stored file that is read once, from begin to end. What it gave counts only when Finish is OK:
  // its hash is of exactly these bytes (I5, S22).
  class Reader {
   public:
    // The next piece.size() bytes. DataLoss as below.
    absl::Status Read(std::span<std::byte> piece);
    // Reads what is left. DataLoss when the file is not what its name says or cannot be read: it is
    // deleted then, and counted. InvalidArgument when the manifest names a file that is no shard.
    absl::Status Finish();

   private:
    friend class ShardStore;
    Reader(ShardStore* store, const ShardInfo* shard, std::unique_ptr<ReadableFile> file)
        : store_(store), shard_(shard), file_(std::move(file)) {}

    ShardStore* store_;
    const ShardInfo* shard_;
    std::unique_ptr<ReadableFile> file_;
    uint64_t offset_ = 0;
    Sha256Stream hash_;
    std::array<std::byte, kShardHeaderBytes> header_ = {};
  };
  // NotFound when it is not here; DataLoss as above when it has another size. `shard` outlives the
  // reader.
  absl::StatusOr<Reader> StartReading(const ShardInfo& shard);

  // The whole file in memory, verified, with the reader's errors.
  absl::StatusOr<AlignedBuffer> Load(const ShardInfo& shard);
  // The same into `whole`, which is allocated anew unless it has just the right size: fresh memory
  // costs as much as hashing it. Its bytes are nothing after an error.
  absl::Status LoadInto(const ShardInfo& shard, AlignedBuffer* whole);
  // The same check without keeping the bytes; memory holds one piece.
  absl::Status Verify(const ShardInfo& shard);

  // One chunk of a stored file as it is, for another node, which checks it. NotFound, OutOfRange.
  absl::Status ReadChunk(const Sha256Digest& hash, uint64_t offset, std::span<std::byte> out) const;

  // Takes the same shard from another store on this machine, by a link, else a copy; verified. Not
  // synced.
  absl::Status TakeFrom(const ShardStore& other, const ShardInfo& shard);

  // A shard that comes in: verified chunk by chunk as it is written, whole at the end (S21), put in
  // place by a rename. Continues what an earlier, interrupted one left.
  class Incoming {
   public:
    virtual ~Incoming() = default;
    virtual uint64_t next_offset() const = 0;  // Of the chunk that is wanted; file_bytes: complete.
    virtual size_t next_bytes() const = 0;
    // DataLoss when the chunk's hash differs: nothing is written, ask somebody else.
    virtual absl::Status Append(std::span<const std::byte> chunk) = 0;
    // Puts it in place, without a sync.
    virtual absl::Status Commit() = 0;
  };
  // `shard` lives until the result is gone. One at a time for each shard.
  absl::StatusOr<std::unique_ptr<Incoming>> Receive(const ShardInfo& shard);

  // Shards that came by Receive or TakeFrom survive a power cut from now on: once for many, and
  // nothing if none came since the last time. Before, a power cut may leave a name with other
  // bytes, which a reader finds. After a failure those that came are deleted, since what the system
  // says of them later proves nothing (F12).
  absl::Status Sync();

  // --- For an import, which has just hashed what it puts here, and syncs once for all of it before
  // it writes the manifest. `hash` is of all bytes. Leaves a file that has these very bytes, and
  // replaces any other in one step: what other models need is never gone. Whether it wrote.
  // Different hashes may come from different threads.
  absl::StatusOr<bool> Put(const Sha256Digest& hash, std::span<const std::byte> file);
  // For a shard too large for memory: a file without a name yet, one at a time, appended to and
  // closed; then its name.
  absl::StatusOr<std::unique_ptr<WritableFile>> CreateUnnamed();
  absl::Status PutUnnamed(const Sha256Digest& hash);
  void RemoveUnnamed();  // Best effort: the next one replaces it.

  absl::Status Remove(const Sha256Digest& hash);  // Fine when it is not here.
  // Hashes of all files here, sorted.
  absl::StatusOr<std::vector<Sha256Digest>> List() const;
  // Removes shards that are not in `keep`, and half-written files of them. Returns freed bytes.
  absl::StatusOr<uint64_t> Sweep(const std::set<Sha256Digest>& keep);

  uint64_t n_corrupt() const;  // Found so far by readers.
  const std::string& directory() const { return directory_; }
  FileSystem* files() const { return files_; }

 private:
  ShardStore(FileSystem* files, std::string directory);
  std::string PathOf(const Sha256Digest& hash) const;
  std::string UnnamedPath() const;
  void OnPut(const Sha256Digest& hash);
  absl::Status MakeFolder(const Sha256Digest& hash) const;
  // Deletes a file that is not its shard, and counts it. Returns `why` with what became of it.
  absl::Status Discard(const ShardInfo& shard, const absl::Status& why);
  absl::Status TakeLink(const std::string& link, const ShardInfo& shard);
  absl::Status CopyFrom(const ShardStore& other, const ShardInfo& shard);
  // Every file that is a shard's, whole or half-written; others are passed over.
  absl::Status ForEachFile(
      absl::FunctionRef<absl::Status(const std::string& path, const std::string& name,
                                     const Sha256Digest& owner)>
          visit) const;

  FileSystem* const files_;
  const std::string directory_;
  mutable Mutex mu_;
  uint64_t n_corrupt_ SHOAL_GUARDED_BY(mu_) = 0;
  std::set<Sha256Digest> unsynced_ SHOAL_GUARDED_BY(mu_);
};

}  // namespace shoal
