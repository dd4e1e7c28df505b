#include "model/import/import_record.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/byte_codec.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "model/import/gguf_split.h"
#include "model/tokenizer_shard.h"

namespace shoal {
namespace {

constexpr std::string_view kMagic = "SHOALSR2";
constexpr size_t kMaxPathBytes = 4096;
constexpr size_t kMaxNameBytes = 256;
constexpr size_t kMaxConversionBytes = 4608;
constexpr size_t kMaxRecordBytes = 16384;

std::string Encode(const ImportRecord& record) {
  ByteWriter writer;
  writer.Bytes(kMagic);
  writer.String(record.file.path);
  writer.U64(record.file.size);
  writer.U64(record.file.mtime_ns);
  writer.U64(record.file.inode);
  writer.String(record.default_name);
  writer.String(record.conversion);
  return writer.Take();
}

absl::StatusOr<ImportRecord> Decode(std::string_view bytes) {
  ByteReader reader(bytes);
  ImportRecord record;
  SHOAL_ASSIGN_OR_RETURN(const std::string_view magic, reader.Bytes(kMagic.size()));
  if (magic != kMagic) return absl::InvalidArgumentError("not an import record");
  SHOAL_ASSIGN_OR_RETURN(record.file.path, reader.String(kMaxPathBytes));
  SHOAL_ASSIGN_OR_RETURN(record.file.size, reader.U64());
  SHOAL_ASSIGN_OR_RETURN(record.file.mtime_ns, reader.U64());
  SHOAL_ASSIGN_OR_RETURN(record.file.inode, reader.U64());
  SHOAL_ASSIGN_OR_RETURN(record.default_name, reader.String(kMaxNameBytes));
  SHOAL_ASSIGN_OR_RETURN(record.conversion, reader.String(kMaxConversionBytes));
  SHOAL_RETURN_IF_ERROR(reader.ExpectEnd());
  return record;
}

std::error_code Look(const std::filesystem::path& path, struct stat* info) {
  if (stat(path.c_str(), info) == 0) return {};
  return std::error_code(errno, std::generic_category());
}

absl::Status LookError(const std::string& path, std::error_code error) {
  const std::string text = absl::StrCat(path, ": ", error.message(), "; check the path");
  if (error == std::errc::no_such_file_or_directory) return absl::NotFoundError(text);
  return absl::FailedPreconditionError(text);
}

FileIdentity IdentityOfFile(std::string path, const struct stat& info) {
  const auto mtime_ns = int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
  return {.path = std::move(path),
          .size = static_cast<uint64_t>(info.st_size),
          .mtime_ns = static_cast<uint64_t>(mtime_ns),
          .inode = static_cast<uint64_t>(info.st_ino)};
}

// One identity for `files`, which `path` stands for.
FileIdentity Combine(std::string path, std::vector<FileIdentity> files) {
  std::sort(files.begin(), files.end(),
            [](const FileIdentity& a, const FileIdentity& b) { return a.path < b.path; });
  FileIdentity all{.path = std::move(path)};
  ByteWriter writer;
  for (const FileIdentity& file : files) {
    all.size += file.size;
    all.mtime_ns = std::max(all.mtime_ns, file.mtime_ns);
    writer.String(file.path);
    for (const uint64_t value : {file.size, file.mtime_ns, file.inode}) writer.U64(value);
  }
  const std::string bytes = writer.Take();
  const Sha256Digest hash = Sha256(std::as_bytes(std::span(bytes)));
  std::memcpy(&all.inode, hash.data(), sizeof(all.inode));
  return all;
}

absl::StatusOr<FileIdentity> IdentityOfParts(const std::vector<std::string>& paths) {
  std::vector<FileIdentity> files;
  for (const std::string& path : paths) {
    struct stat info = {};
    if (const std::error_code error = Look(path, &info)) return LookError(path, error);
    files.push_back(IdentityOfFile(path, info));
  }
  return Combine(paths.front(), std::move(files));
}

absl::StatusOr<FileIdentity> IdentityOfFolder(const std::filesystem::path& folder) {
  std::error_code error;
  std::vector<FileIdentity> files;
  for (std::filesystem::directory_iterator i(folder, error), end; !error && i != end;
       i.increment(error)) {
    struct stat info = {};
    if (Look(i->path(), &info)) continue;  // A link to nothing: whoever needs it will say so.
    if (S_ISREG(info.st_mode)) files.push_back(IdentityOfFile(i->path().filename(), info));
    if (files.size() <= kMaxFolderFiles) continue;
    return absl::FailedPreconditionError(absl::StrCat(folder.string(), ": has more than ",
                                                      kMaxFolderFiles,
                                                      " files; name the folder of one model"));
  }
  if (error) return LookError(folder.string(), error);
  return Combine(folder.string(), std::move(files));
}

bool AllThere(DataDirectory* data, const Manifest& manifest) {
  return std::all_of(manifest.shards.begin(), manifest.shards.end(),
                     [&](const ShardInfo& shard) { return data->shards().Has(shard); });
}

// A tokenizer of an older release's format is made anew: everything else stays where it is.
bool IsTokenizerReadable(DataDirectory* data, const Manifest& manifest) {
  return !absl::IsInvalidArgument(LoadTokenizerShard(&data->shards(), manifest).status());
}

}  // namespace

absl::StatusOr<FileIdentity> IdentityOf(const std::string& path) {
  struct stat info = {};
  std::error_code error;
  const std::filesystem::path whole = std::filesystem::canonical(path, error);
  if (!error) error = Look(whole, &info);
  if (error) return LookError(path, error);
  if (S_ISDIR(info.st_mode)) return IdentityOfFolder(whole);
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": is neither a regular file nor a folder; name the model file itself"));
  }
  // A cache's links have the parts' names; what they lead to may not.
  const auto parts = GgufParts(std::filesystem::absolute(path).lexically_normal().string());
  if (parts.size() > 1) return IdentityOfParts(parts);
  return IdentityOfFile(whole.string(), info);
}

absl::Status WriteImportRecord(DataDirectory* data, const Sha256Digest& model_id,
                               const ImportRecord& record) {
  return ReplaceFile(data->files(), data->ModelPath(model_id, kImportRecord), Encode(record));
}

std::optional<SignedManifest> FindImported(DataDirectory* data, const FileIdentity& file,
                                           std::string_view model_name,
                                           std::string_view conversion) {
  const auto ids = data->ModelFolders();
  if (!ids.ok()) return std::nullopt;
  for (const Sha256Digest& id : *ids) {
    const auto bytes = ReadFile(data->files(), data->ModelPath(id, kImportRecord), kMaxRecordBytes);
    if (!bytes.ok()) continue;
    const auto record = Decode(*bytes);
    if (!record.ok() || record->file != file || record->conversion != conversion) {
      continue;
    }
    auto model = data->ReadModel(id);
    if (!model.ok()) continue;
    const std::string_view wanted = model_name.empty() ? record->default_name : model_name;
    if (model->manifest.name == wanted && AllThere(data, model->manifest) &&
        IsTokenizerReadable(data, model->manifest)) {
      return *std::move(model);
    }
  }
  return std::nullopt;
}

}  // namespace shoal
