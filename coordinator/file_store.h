#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "coordinator/state_store.h"

namespace shoal {

// A StateStore in one file:
//
//   offset 0   8 bytes  magic "SHOALLOG"
//          8   u32      format version, 1
//         12   u32      CRC-32C of the claim's 8 bytes
//         16   u64      claim
//         24            entries, each: u32 length, u32 CRC-32C of length and bytes, bytes
//
// An entry is appended and synced. Claims and compactions write a new file beside it and rename it
// into place, so that the whole old or the whole new one is there. What a power cut left of a last
// entry that nobody was told of is dropped; damage before a whole entry is DataLoss. After a failed
// append the file is never continued: the next one writes a new file of what was acknowledged.
class FileStore final : public StateStore {
 public:
  // `path` need not exist; its folder does. The caller keeps other processes out of it.
  FileStore(FileSystem* files, std::string path) : files_(files), path_(std::move(path)) {}

  absl::StatusOr<uint64_t> Claim() override;
  absl::StatusOr<std::vector<std::string>> ReadAll() override { return entries_; }
  absl::Status Append(uint64_t claim, std::string_view entry) override;
  absl::Status Compact(uint64_t claim, std::string_view entry) override;
  uint64_t n_bytes() const override { return n_bytes_; }

 private:
  absl::Status CheckClaim(uint64_t claim) const;
  absl::Status AppendInPlace(std::string_view entry);
  absl::Status WriteAnew(uint64_t claim, std::vector<std::string> entries);

  FileSystem* const files_;
  const std::string path_;
  uint64_t claim_ = 0;  // 0: none yet.
  std::vector<std::string> entries_;
  uint64_t n_bytes_ = 0;
  std::unique_ptr<WritableFile> file_;  // Null: the next entry needs a new file.
};

}  // namespace shoal
