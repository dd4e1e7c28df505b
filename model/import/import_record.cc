#include "model/import/import_record.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/byte_codec.h"
#include "base/status_macros.h"

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

bool AllThere(DataDirectory* data, const Manifest& manifest) {
  return std::all_of(manifest.shards.begin(), manifest.shards.end(),
                     [&](const ShardInfo& shard) { return data->shards().Has(shard); });
}

}  // namespace

absl::StatusOr<FileIdentity> IdentityOf(const std::string& path) {
  struct stat info = {};
  std::error_code error;
  const std::filesystem::path whole = std::filesystem::canonical(path, error);
  if (!error && stat(whole.c_str(), &info) != 0) {
    error = std::error_code(errno, std::generic_category());
  }
  if (error) {
    const std::string text = absl::StrCat(path, ": ", error.message(), "; check the path");
    if (error == std::errc::no_such_file_or_directory) return absl::NotFoundError(text);
    return absl::FailedPreconditionError(text);
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": is not a regular file; name the model file itself"));
  }
  const auto mtime_ns = int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
  return FileIdentity{.path = whole.string(),
                      .size = static_cast<uint64_t>(info.st_size),
                      .mtime_ns = static_cast<uint64_t>(mtime_ns),
                      .inode = static_cast<uint64_t>(info.st_ino)};
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
    if (model->manifest.name == wanted && AllThere(data, model->manifest)) {
      return *std::move(model);
    }
  }
  return std::nullopt;
}

}  // namespace shoal
