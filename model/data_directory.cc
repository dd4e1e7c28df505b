#include "model/data_directory.h"

#include <cstdlib>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/shard.h"

namespace shoal {
namespace {

constexpr std::string_view kFormat = "1\n";
constexpr size_t kMaxVersionBytes = 64;
constexpr size_t kMaxKeyBytes = 4096;
constexpr size_t kSignatureTail = sizeof(Ed25519PublicKey) + sizeof(Ed25519Signature);
constexpr size_t kMinPrefixDigits = 8;

std::string ModelFolder(const std::string& path, const Sha256Digest& id) {
  return absl::StrCat(path, "/models/", ToHex(id));
}

std::string ManifestPath(const std::string& path, const Sha256Digest& id) {
  return ModelFolder(path, id) + "/manifest";
}

absl::StatusOr<std::unique_ptr<FileLock>> LockDirectory(FileSystem* files,
                                                        const std::string& path) {
  absl::StatusOr<std::unique_ptr<FileLock>> lock = files->Lock(JoinPath(path, "lock"));
  if (!absl::IsUnavailable(lock.status())) return lock;
  return absl::UnavailableError(absl::StrCat("data directory ", path,
                                             " is in use by another process; stop that one, or "
                                             "name another folder with --data-dir"));
}

// Writes VERSION where there is none; refuses any format but ours.
absl::Status CheckVersion(FileSystem* files, const std::string& path) {
  const std::string file = JoinPath(path, "VERSION");
  const absl::StatusOr<std::string> text = ReadFile(files, file, kMaxVersionBytes);
  if (absl::IsNotFound(text.status())) return ReplaceFile(files, file, kFormat);
  if (!text.ok()) return text.status();
  if (*text == kFormat) return absl::OkStatus();
  const std::string number = text->substr(0, text->find('\n'));
  return absl::FailedPreconditionError(
      absl::StrCat(file, ": the data directory has format ", Quoted(number),
                   ", this release reads format 1; use the release that wrote it, or name another "
                   "folder with --data-dir"));
}

// What interrupted writes left in one folder.
absl::Status RemoveTemporaries(FileSystem* files, const std::string& folder) {
  SHOAL_ASSIGN_OR_RETURN(const std::vector<std::string> names, files->List(folder));
  for (const std::string& name : names) {
    if (!name.ends_with(".tmp")) continue;
    SHOAL_RETURN_IF_ERROR(files->Remove(JoinPath(folder, name)));
  }
  return absl::OkStatus();
}

absl::Status RemoveOwnTemporaries(FileSystem* files, const std::string& path) {
  for (const char* const folder : {"", "node", "coordinator"}) {
    SHOAL_RETURN_IF_ERROR(RemoveTemporaries(files, JoinPath(path, folder)));
  }
  return absl::OkStatus();
}

// The same of models and shards; not while an import writes there.
absl::Status RemoveImportTemporaries(FileSystem* files, const std::string& path) {
  for (const char* const parent : {"models", "shards"}) {
    const std::string folder = JoinPath(path, parent);
    SHOAL_ASSIGN_OR_RETURN(const std::vector<std::string> names, files->List(folder));
    for (const std::string& name : names) {
      const absl::Status removed = RemoveTemporaries(files, JoinPath(folder, name));
      if (!removed.ok() && !absl::IsNotFound(removed)) return removed;  // NotFound: no folder.
    }
  }
  return absl::OkStatus();
}

std::string Listing(const std::vector<DataDirectory::Entry>& entries) {
  if (entries.empty()) return "there is no model here; import one first";
  return absl::StrCat("here are: ",
                      absl::StrJoin(entries, ", ", [](std::string* out, const auto& entry) {
                        absl::StrAppend(out, entry.name, " (", ToHex(entry.id), ")");
                      }));
}

bool Fits(const DataDirectory::Entry& entry, std::string_view text) {
  if (entry.name == text) return true;
  return text.size() >= kMinPrefixDigits && ToHex(entry.id).starts_with(text);
}

const char* NonEmptyEnv(const char* name) {
  const char* const value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

}  // namespace

DataDirectory::DataDirectory(FileSystem* files, std::string path)
    : files_(files), path_(std::move(path)) {}

absl::StatusOr<std::unique_ptr<DataDirectory>> DataDirectory::Open(FileSystem* files,
                                                                   std::string path,
                                                                   Access access) {
  SHOAL_RETURN_IF_ERROR(files->CreateDirectories(path));
  auto directory = std::unique_ptr<DataDirectory>(new DataDirectory(files, path));
  if (access == Access::kExclusive) {
    SHOAL_ASSIGN_OR_RETURN(directory->lock_, LockDirectory(files, path));
  }
  SHOAL_RETURN_IF_ERROR(CheckVersion(files, path));
  for (const char* const folder : {"models", "node", "coordinator"}) {
    SHOAL_RETURN_IF_ERROR(files->CreateDirectories(JoinPath(path, folder)));
  }
  SHOAL_ASSIGN_OR_RETURN(directory->shards_, ShardStore::Open(files, JoinPath(path, "shards")));
  if (access != Access::kExclusive) return directory;
  SHOAL_RETURN_IF_ERROR(RemoveOwnTemporaries(files, path));
  const auto shards_lock = directory->LockShards();
  if (absl::IsUnavailable(shards_lock.status())) return directory;
  SHOAL_RETURN_IF_ERROR(shards_lock.status());
  SHOAL_RETURN_IF_ERROR(RemoveImportTemporaries(files, path));
  return directory;
}

std::string DataDirectory::NodePath(std::string_view name) const {
  return JoinPath(JoinPath(path_, "node"), name);
}

std::string DataDirectory::CoordinatorPath(std::string_view name) const {
  return JoinPath(JoinPath(path_, "coordinator"), name);
}

std::string DataDirectory::ModelPath(const Sha256Digest& id, std::string_view name) const {
  return JoinPath(ModelFolder(path_, id), name);
}

absl::StatusOr<std::unique_ptr<FileLock>> DataDirectory::LockShards() {
  absl::StatusOr<std::unique_ptr<FileLock>> lock = files_->Lock(JoinPath(path_, "shards.lock"));
  if (!absl::IsUnavailable(lock.status())) return lock;
  return absl::UnavailableError(
      absl::StrCat("data directory ", path_,
                   ": another import, or a removal of shards, is running; wait for it"));
}

absl::StatusOr<std::vector<Sha256Digest>> DataDirectory::ModelFolders() const {
  SHOAL_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                         files_->List(JoinPath(path_, "models")));
  std::vector<Sha256Digest> ids;
  for (const std::string& name : names) {
    if (const std::optional<Sha256Digest> id = DigestFromHex(name)) ids.push_back(*id);
  }
  return ids;
}

absl::StatusOr<DataDirectory::Stored> DataDirectory::ReadStored(const Sha256Digest& id) const {
  const std::string path = ManifestPath(path_, id);
  Stored stored;
  SHOAL_ASSIGN_OR_RETURN(stored.file, ReadFile(files_, path, kMaxManifestBytes + kSignatureTail));
  absl::StatusOr<SignedManifest> manifest = ReadSignedManifest(stored.file);
  if (!manifest.ok()) {
    return absl::DataLossError(absl::StrCat(path, ": ", std::string(manifest.status().message())));
  }
  if (manifest->id != id) {
    return absl::DataLossError(
        absl::StrCat(path, ": is the manifest of another model, ", ToHex(manifest->id)));
  }
  stored.manifest = *std::move(manifest);
  return stored;
}

absl::StatusOr<std::vector<DataDirectory::Entry>> DataDirectory::ListModels() const {
  SHOAL_ASSIGN_OR_RETURN(const std::vector<Sha256Digest> ids, ModelFolders());
  std::vector<Entry> entries;
  for (const Sha256Digest& id : ids) {
    const absl::StatusOr<SignedManifest> model = ReadModel(id);
    if (model.ok()) {
      const Manifest& manifest = model->manifest;
      entries.push_back({id, manifest.name, manifest.config.architecture, manifest.n_bytes()});
    } else if (!absl::IsNotFound(model.status())) {
      Log(LogLevel::kWarning, "model passed over",
          {{"model", ToHex(id)}, {"reason", std::string(model.status().message())}});
    }
  }
  return entries;
}

absl::StatusOr<SignedManifest> DataDirectory::ReadModel(const Sha256Digest& id) const {
  SHOAL_ASSIGN_OR_RETURN(Stored stored, ReadStored(id));
  return std::move(stored.manifest);
}

absl::StatusOr<std::string> DataDirectory::ReadModelFile(const Sha256Digest& id) const {
  SHOAL_ASSIGN_OR_RETURN(Stored stored, ReadStored(id));
  return std::move(stored.file);
}

absl::StatusOr<Sha256Digest> DataDirectory::FindModel(std::string_view text) const {
  SHOAL_ASSIGN_OR_RETURN(const std::vector<Entry> entries, ListModels());
  std::vector<Entry> found;
  for (const Entry& entry : entries) {
    if (ToHex(entry.id) == text) return entry.id;
    if (Fits(entry, text)) found.push_back(entry);
  }
  if (found.size() == 1) return found[0].id;
  // One whose manifest is damaged has no name any more, but an id by which it can be removed.
  if (const std::optional<Sha256Digest> id = DigestFromHex(text);
      id.has_value() && files_->Exists(ManifestPath(path_, *id))) {
    return *id;
  }
  if (found.empty()) {
    return absl::NotFoundError(absl::StrCat("no model ", Quoted(text), ": ", Listing(entries)));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("several models fit ", Quoted(text), "; give an id: ", Listing(found)));
}

absl::Status DataDirectory::WriteModel(std::string_view signed_manifest) {
  SHOAL_ASSIGN_OR_RETURN(const SignedManifest model, ReadSignedManifest(signed_manifest));
  SHOAL_RETURN_IF_ERROR(files_->CreateDirectories(ModelFolder(path_, model.id)));
  return ReplaceFile(files_, ManifestPath(path_, model.id), signed_manifest);
}

absl::Status DataDirectory::RemoveModel(const Sha256Digest& id) {
  const std::string folder = ModelFolder(path_, id);
  SHOAL_RETURN_IF_ERROR(files_->Remove(ManifestPath(path_, id)));
  SHOAL_RETURN_IF_ERROR(files_->SyncDirectory(folder));
  // A folder without a manifest is no model: what is left of it may stay.
  if (const auto names = files_->List(folder); names.ok()) {
    for (const std::string& name : *names) files_->Remove(JoinPath(folder, name)).IgnoreError();
  }
  files_->Remove(folder).IgnoreError();
  return files_->SyncDirectory(JoinPath(path_, "models"));
}

bool DataDirectory::IsImported(const Sha256Digest& id) const {
  return files_->Exists(ModelPath(id, kImportRecord));
}

absl::StatusOr<std::set<Sha256Digest>> DataDirectory::NamedShards() const {
  SHOAL_ASSIGN_OR_RETURN(const std::vector<Sha256Digest> ids, ModelFolders());
  std::set<Sha256Digest> named;
  for (const Sha256Digest& id : ids) {
    const absl::StatusOr<SignedManifest> model = ReadModel(id);
    if (absl::IsNotFound(model.status())) continue;
    // Not knowing what a model needs is no reason to remove it.
    if (!model.ok()) return model.status();
    for (const ShardInfo& shard : model->manifest.shards) named.insert(shard.hash);
  }
  return named;
}

absl::StatusOr<uint64_t> DataDirectory::UnnamedShardBytes() const {
  SHOAL_ASSIGN_OR_RETURN(const std::set<Sha256Digest> named, NamedShards());
  SHOAL_ASSIGN_OR_RETURN(const std::vector<Sha256Digest> hashes, shards_->List());
  uint64_t n = 0;
  for (const Sha256Digest& hash : hashes) {
    if (named.contains(hash)) continue;
    const auto file = files_->Open(JoinPath(shards_->directory(), ShardPath(hash)));
    if (file.ok()) n += (*file)->size();
  }
  return n;
}

absl::StatusOr<uint64_t> DataDirectory::SweepShards() {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<FileLock> lock, LockShards());
  SHOAL_ASSIGN_OR_RETURN(const std::set<Sha256Digest> named, NamedShards());
  return shards_->Sweep(named);
}

absl::StatusOr<Ed25519Key> DataDirectory::ImportKey(Random* random) {
  const std::string path = CoordinatorPath("import.key");
  const absl::StatusOr<std::string> pem = ReadFile(files_, path, kMaxKeyBytes);
  if (absl::IsNotFound(pem.status())) {
    Ed25519Key key = Ed25519Key::Generate(random);
    SHOAL_RETURN_IF_ERROR(ReplaceFile(files_, path, key.Pem()));
    return key;
  }
  if (!pem.ok()) return pem.status();
  absl::StatusOr<Ed25519Key> key = Ed25519Key::FromPem(*pem);
  if (key.ok()) return key;
  return absl::DataLossError(absl::StrCat(path, ": ", std::string(key.status().message()),
                                          "; restore it, or remove it and import anew"));
}

std::string DefaultDataDirectory() {
  if (const char* const data = NonEmptyEnv("XDG_DATA_HOME")) return JoinPath(data, "shoal");
  if (const char* const home = NonEmptyEnv("HOME")) return JoinPath(home, ".local/share/shoal");
  return "/var/lib/shoal";
}

}  // namespace shoal
