#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "model/data_directory.h"

namespace shoal {

// What tells a model file from every other, and from itself after a change, without reading it.
struct FileIdentity {
  std::string path;       // Absolute, links resolved.
  uint64_t size = 0;      // Of a folder: of all files in it.
  uint64_t mtime_ns = 0;  // The latest of them.
  uint64_t inode = 0;     // Eight bytes of a hash over their names, sizes, times and inodes.
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

// NotFound, or FailedPrecondition when it is neither a regular file nor a folder of at most
// kMaxFolderFiles of them, or cannot be looked at.
inline constexpr size_t kMaxFolderFiles = 4096;
absl::StatusOr<FileIdentity> IdentityOf(const std::string& path);

// From which file a model came: models/<id>/source. Only ever a shortcut; a bad record is no
// record.
struct ImportRecord {
  FileIdentity file;
  std::string default_name;  // What the model is called when nobody says otherwise.
  std::string conversion;    // How its tensors were made; empty: they are the file's.
};

absl::Status WriteImportRecord(DataDirectory* data, const Sha256Digest& model_id,
                               const ImportRecord& record);

// The model that was imported from this very file by that conversion, under that name (empty: the
// default one), if it and all its shards' files are still there and this release reads its
// tokenizer.
std::optional<SignedManifest> FindImported(DataDirectory* data, const FileIdentity& file,
                                           std::string_view model_name,
                                           std::string_view conversion);

}  // namespace shoal
