#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/mutex.h"

namespace shoal {

// A disk in memory that a test breaks: its n-th operation fails, its power goes. Thread-safe.
class MemoryFileSystem final : public FileSystem {
 public:
  explicit MemoryFileSystem(uint64_t seed = 1) : random_(seed) {}

  // The n-th operation from now on (0: the next) fails, once. What it was to write is then half
  // there.
  void FailOperation(int64_t n) SHOAL_EXCLUDES(mu_);
  // Whether that has come to pass.
  bool failed() const SHOAL_EXCLUDES(mu_);

  // From now on nothing reaches the disk any more: every operation fails.
  void TurnOff() SHOAL_EXCLUDES(mu_);
  // What a power cut leaves: synced bytes and names; of what was not synced, some. Files that are
  // still open write into nowhere. Locks are gone.
  void PowerCut() SHOAL_EXCLUDES(mu_);

  // Turns a bit of a file that exists.
  void FlipBit(const std::string& path, uint64_t bit) SHOAL_EXCLUDES(mu_);

  absl::StatusOr<std::unique_ptr<ReadableFile>> Open(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<WritableFile>> Create(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<WritableFile>> OpenToAppend(const std::string& path) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Link(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::Status CreateDirectories(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> List(const std::string& directory) override;
  absl::Status SyncDirectory(const std::string& path) override;
  absl::Status SyncAll(const std::string& path) override;
  bool Exists(const std::string& path) override;
  absl::StatusOr<uint64_t> FreeBytes(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) override;

 private:
  struct Inode {
    std::string bytes;
    std::string synced;
    bool unsyncable = false;  // A sync failed: what it was to save never comes to the disk (F12).
  };
  using Names = std::map<std::string, std::shared_ptr<Inode>>;
  class Reader;
  class Writer;
  class HeldLock;

  absl::Status Step(const std::string& what) SHOAL_EXCLUDES(mu_);
  absl::Status StepLocked(const std::string& what) SHOAL_REQUIRES(mu_);
  absl::Status Append(Inode* inode, std::span<const std::byte> bytes) SHOAL_EXCLUDES(mu_);
  absl::Status Sync(Inode* inode) SHOAL_EXCLUDES(mu_);

  mutable Mutex mu_;
  std::mt19937_64 random_ SHOAL_GUARDED_BY(mu_);
  Names names_ SHOAL_GUARDED_BY(mu_);    // As processes see them.
  Names durable_ SHOAL_GUARDED_BY(mu_);  // As the disk does.
  std::set<std::string> directories_ SHOAL_GUARDED_BY(mu_);
  std::set<std::string> locks_ SHOAL_GUARDED_BY(mu_);
  int64_t until_failure_ SHOAL_GUARDED_BY(mu_) = -1;
  bool failed_ SHOAL_GUARDED_BY(mu_) = false;
  bool off_ SHOAL_GUARDED_BY(mu_) = false;
};

}  // namespace shoal
