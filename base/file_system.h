#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace shoal {

// The disk, injected so that a test owns it: base/file_system_testing.h has one in memory whose
// n-th operation fails and that forgets, at a power cut, what was not synced.
//
// Errors name the path and the system's reason. NotFound: no such file. ResourceExhausted: the disk
// is full. Unavailable: locked by another process. PermissionDenied: not this user's. Aborted: this
// process has too many files open. DataLoss: anything else that reading or writing met. After a
// failed write or Sync a file is to be thrown away, never continued (F12).

class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  // Bytes that it had when it was opened.
  virtual uint64_t size() const = 0;
  // Reads exactly out.size() bytes from `offset`. OutOfRange past the end. Thread-safe.
  virtual absl::Status Read(uint64_t offset, std::span<std::byte> out) const = 0;
};

class WritableFile {
 public:
  virtual ~WritableFile() = default;  // Closes; what was not synced may be lost.
  virtual absl::Status Append(std::span<const std::byte> bytes) = 0;
  virtual absl::Status Sync() = 0;  // All appended bytes survive a power cut from now on.
};

class FileLock {
 public:
  virtual ~FileLock() = default;  // Unlocks.
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual absl::StatusOr<std::unique_ptr<ReadableFile>> Open(const std::string& path) = 0;
  // A new empty file in place of whatever was there, readable by its owner only (0600).
  virtual absl::StatusOr<std::unique_ptr<WritableFile>> Create(const std::string& path) = 0;
  // Appends to a file that exists or not.
  virtual absl::StatusOr<std::unique_ptr<WritableFile>> OpenToAppend(const std::string& path) = 0;
  // Takes the place of `to` in one step. Survives a power cut after SyncDirectory.
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  // A second name for the same bytes. FailedPrecondition on another disk.
  virtual absl::Status Link(const std::string& from, const std::string& to) = 0;
  virtual absl::Status Remove(const std::string& path) = 0;  // A file, or an empty folder.
  // With all parents; fine when it exists. Owner only (0700). New ones survive a power cut.
  virtual absl::Status CreateDirectories(const std::string& path) = 0;
  // Names of what is inside, sorted. NotFound when there is no such folder.
  virtual absl::StatusOr<std::vector<std::string>> List(const std::string& directory) = 0;
  virtual absl::Status SyncDirectory(const std::string& path) = 0;
  // Everything written so far to the disk that holds `path`, files and folders alike.
  virtual absl::Status SyncAll(const std::string& path) = 0;
  virtual bool Exists(const std::string& path) = 0;
  virtual absl::StatusOr<uint64_t> FreeBytes(const std::string& path) = 0;
  // Held until the result goes. Unavailable when another process holds it.
  virtual absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) = 0;
};

// The machine's disks. Lives for ever.
FileSystem* MachineFileSystem();

// A file of at most `max_bytes`, whole. InvalidArgument when it is larger.
absl::StatusOr<std::string> ReadFile(FileSystem* files, const std::string& path,
                                     uint64_t max_bytes);

// Writes a file so that there is always the whole old or the whole new one: a temporary file beside
// it ("NAME.tmp"), synced, renamed, the folder synced.
absl::Status ReplaceFile(FileSystem* files, const std::string& path, std::string_view bytes);

// "a/b" of "a" and "b".
std::string JoinPath(std::string_view directory, std::string_view name);

}  // namespace shoal
