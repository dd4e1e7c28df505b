#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "model/manifest.h"
#include "model/shard_store.h"

namespace shoal {

// Everything that one process keeps: DIR/VERSION, DIR/lock, shards/ab/<hash>, models/<id>/manifest,
// node/, coordinator/ (ARCHITECTURE, "data directory").
class DataDirectory {
 public:
  enum class Access : uint8_t { kExclusive, kShared };
  // Creates what is missing; removes what an interrupted write left (*.tmp). Unavailable when
  // another process has it (kExclusive), FailedPrecondition when its format is another one's, with
  // both numbers. kShared takes no lock: for reading, and for adding shards and models beside a
  // running process, which both are single renames.
  static absl::StatusOr<std::unique_ptr<DataDirectory>> Open(FileSystem* files, std::string path,
                                                             Access access);

  ShardStore& shards() { return *shards_; }
  FileSystem* files() const { return files_; }
  const std::string& path() const { return path_; }
  std::string NodePath(std::string_view name) const;         // DIR/node/NAME
  std::string CoordinatorPath(std::string_view name) const;  // DIR/coordinator/NAME

  std::string ModelPath(const Sha256Digest& id, std::string_view name) const;  // DIR/models/ID/NAME

  // Held by whoever adds shards before the manifest that names them, and by SweepShards.
  // Unavailable while another one holds it.
  absl::StatusOr<std::unique_ptr<FileLock>> LockShards();

  // --- Models: manifests that are here, each with a signature that holds.
  struct Entry {
    Sha256Digest id;
    std::string name;
    std::string architecture;
    uint64_t n_bytes = 0;
  };
  absl::StatusOr<std::vector<Entry>> ListModels() const;
  // Ids by the names of their folders alone, sorted: a manifest need not be there.
  absl::StatusOr<std::vector<Sha256Digest>> ModelFolders() const;
  absl::StatusOr<SignedManifest> ReadModel(const Sha256Digest& id) const;
  // The signed file itself.
  absl::StatusOr<std::string> ReadModelFile(const Sha256Digest& id) const;
  // By id, a prefix of it with 8 digits or more, or name. NotFound, or InvalidArgument when
  // several fit, with what there is.
  absl::StatusOr<Sha256Digest> FindModel(std::string_view text) const;
  // The last step of an import or fetch: shards are synced before.
  absl::Status WriteModel(std::string_view signed_manifest);
  absl::Status RemoveModel(const Sha256Digest& id);
  // Whether the model was imported here, not fetched from another node.
  bool IsImported(const Sha256Digest& id) const;
  // Bytes of shards that no manifest names: an import that was interrupted, or is under way.
  absl::StatusOr<uint64_t> UnnamedShardBytes() const;
  // Removes shards that no manifest names; refuses while a manifest is damaged. Returns freed
  // bytes. Not beside an import: its shards come before their manifest.
  absl::StatusOr<uint64_t> SweepShards();

  // The operator's import key of this directory, made at first use: coordinator/import.key.
  absl::StatusOr<Ed25519Key> ImportKey(Random* random);

 private:
  DataDirectory(FileSystem* files, std::string path);
  struct Stored {
    std::string file;
    SignedManifest manifest;
  };
  absl::StatusOr<Stored> ReadStored(const Sha256Digest& id) const;
  absl::StatusOr<std::set<Sha256Digest>> NamedShards() const;

  FileSystem* const files_;
  const std::string path_;
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<ShardStore> shards_;
};

// Stands in a model's folder where it was imported.
inline constexpr std::string_view kImportRecord = "source";

// --data-dir's default: $XDG_DATA_HOME/shoal, else $HOME/.local/share/shoal, else
// /var/lib/shoal.
std::string DefaultDataDirectory();

}  // namespace shoal
