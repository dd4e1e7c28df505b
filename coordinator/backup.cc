#include "coordinator/backup.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/byte_codec.h"
#include "base/quoted.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "coordinator/cluster_state.h"
#include "coordinator/file_store.h"

namespace shoal {
namespace {

constexpr std::string_view kMagic = "SHOALBAK";
constexpr uint32_t kVersion = 1;
constexpr uint32_t kMaxFiles = 4096;
constexpr size_t kMaxNameBytes = 160;
constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;
constexpr std::string_view kFolder = "coordinator/";
// Made anew at every start: certificates that expire within a week.
constexpr std::string_view kMadeAnew[] = {"admin.crt", "admin.key"};
constexpr uint64_t kEpochLeap = uint64_t{1} << 20;  // More changes than happen between two backups.

struct File {
  std::string name;  // From the data directory on.
  std::string bytes;
};

// "coordinator/NAME", "models/ID/manifest" or "models/ID/source", and nothing that leads elsewhere.
bool IsName(std::string_view name) {
  const auto plain = [](std::string_view text) {
    return !text.empty() && text.front() != '.' &&
           std::all_of(text.begin(), text.end(), [](char c) {
             return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
                    c == '-';
           });
  };
  if (name.starts_with(kFolder)) return plain(name.substr(kFolder.size()));
  constexpr std::string_view kModels = "models/";
  constexpr size_t kIdDigits = 64;
  if (!name.starts_with(kModels) || name.size() < kModels.size() + kIdDigits + 1) return false;
  const std::string_view rest = name.substr(kModels.size());
  const std::string_view file = rest.substr(kIdDigits);
  return plain(rest.substr(0, kIdDigits)) && (file == "/manifest" || file == "/source");
}

Sha256Digest HashOf(std::string_view bytes) {
  return Sha256(std::as_bytes(std::span<const char>(bytes.data(), bytes.size())));
}

absl::Status AddFile(const DataDirectory& data, const std::string& name, std::vector<File>* files) {
  SHOAL_ASSIGN_OR_RETURN(std::string bytes,
                         ReadFile(data.files(), JoinPath(data.path(), name), kMaxFileBytes));
  files->push_back({name, std::move(bytes)});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<File>> Collect(const DataDirectory& data) {
  std::vector<File> files;
  SHOAL_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                         data.files()->List(data.CoordinatorPath("")));
  for (const std::string& name : names) {
    if (name.ends_with(".tmp") ||
        std::find(std::begin(kMadeAnew), std::end(kMadeAnew), name) != std::end(kMadeAnew)) {
      continue;
    }
    SHOAL_RETURN_IF_ERROR(AddFile(data, absl::StrCat(std::string(kFolder), name), &files));
  }
  SHOAL_ASSIGN_OR_RETURN(const std::vector<Sha256Digest> models, data.ModelFolders());
  for (const Sha256Digest& id : models) {
    for (const char* file : {"manifest", "source"}) {
      const std::string name = absl::StrCat("models/", ToHex(id), "/", file);
      if (!data.files()->Exists(JoinPath(data.path(), name))) continue;
      SHOAL_RETURN_IF_ERROR(AddFile(data, name, &files));
    }
  }
  return files;
}

absl::StatusOr<std::vector<File>> ReadFiles(std::string_view backup) {
  if (backup.size() < kMagic.size() + sizeof(Sha256Digest) || !backup.starts_with(kMagic)) {
    return absl::InvalidArgumentError("this is no backup: it does not begin with SHOALBAK");
  }
  const std::string_view body = backup.substr(0, backup.size() - sizeof(Sha256Digest));
  if (DigestBytes(HashOf(body)) != backup.substr(body.size())) {
    return absl::DataLossError("the backup is damaged: its checksum does not hold");
  }
  ByteReader reader(body.substr(kMagic.size()));
  SHOAL_ASSIGN_OR_RETURN(const uint32_t version, reader.U32());
  if (version != kVersion) {
    return absl::InvalidArgumentError(
        absl::StrCat("the backup has format ", version, ", this release reads ", kVersion));
  }
  SHOAL_ASSIGN_OR_RETURN(const uint32_t n_files, reader.Count(kMaxFiles, 2 * sizeof(uint32_t)));
  std::vector<File> files;
  for (uint32_t i = 0; i < n_files; ++i) {
    SHOAL_ASSIGN_OR_RETURN(const std::string_view name, reader.String(kMaxNameBytes));
    SHOAL_ASSIGN_OR_RETURN(const std::string_view bytes, reader.String(kMaxFileBytes));
    if (!IsName(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the backup names ", Quoted(name), ", which is no coordinator's file"));
    }
    files.push_back({std::string(name), std::string(bytes)});
  }
  SHOAL_RETURN_IF_ERROR(reader.ExpectEnd());
  return files;
}

// Nodes never go back to an older epoch, and may have seen some that the backup has not.
absl::Status LeapAhead(DataDirectory* data) {
  FileStore store(data->files(), data->CoordinatorPath("state.log"));
  SHOAL_ASSIGN_OR_RETURN(const uint64_t claim, store.Claim());
  SHOAL_ASSIGN_OR_RETURN(const std::vector<std::string> entries, store.ReadAll());
  ClusterState state;
  for (const std::string& entry : entries) {
    SHOAL_ASSIGN_OR_RETURN(const ClusterBatch batch, DecodeBatch(entry));
    SHOAL_RETURN_IF_ERROR(state.Apply(batch));
  }
  return store.Append(claim, EncodeBatch({EpochRaised{state.epoch() + kEpochLeap}}));
}

}  // namespace

absl::StatusOr<std::string> MakeBackup(const DataDirectory& data) {
  if (!data.files()->Exists(data.CoordinatorPath("ca.key"))) {
    return absl::FailedPreconditionError(
        absl::StrCat("no coordinator has run with ", data.path(), "; name its --data-dir"));
  }
  SHOAL_ASSIGN_OR_RETURN(const std::vector<File> files, Collect(data));
  ByteWriter writer;
  writer.Bytes(kMagic);
  writer.U32(kVersion);
  writer.U32(static_cast<uint32_t>(files.size()));
  for (const File& file : files) {
    writer.String(file.name);
    writer.String(file.bytes);
  }
  const Sha256Digest digest = HashOf(writer.bytes());
  writer.Bytes(DigestBytes(digest));
  return writer.Take();
}

absl::Status RestoreBackup(std::string_view backup, DataDirectory* data) {
  SHOAL_ASSIGN_OR_RETURN(const std::vector<File> files, ReadFiles(backup));
  if (data->files()->Exists(data->CoordinatorPath("ca.key"))) {
    return absl::FailedPreconditionError(absl::StrCat(
        data->path(), " holds a coordinator's files already; restore into an empty --data-dir"));
  }
  const File* key = nullptr;  // Last: without it nothing was restored.
  for (const File& file : files) {
    if (file.name == "coordinator/ca.key") {
      key = &file;
      continue;
    }
    const std::string path = JoinPath(data->path(), file.name);
    SHOAL_RETURN_IF_ERROR(data->files()->CreateDirectories(path.substr(0, path.rfind('/'))));
    SHOAL_RETURN_IF_ERROR(ReplaceFile(data->files(), path, file.bytes));
  }
  if (key == nullptr) return absl::InvalidArgumentError("the backup holds no coordinator/ca.key");
  SHOAL_RETURN_IF_ERROR(LeapAhead(data));
  return ReplaceFile(data->files(), data->CoordinatorPath("ca.key"), key->bytes);
}

}  // namespace shoal
