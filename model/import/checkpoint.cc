#include "model/import/checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/file_system.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/import/json_values.h"

namespace shoal {
namespace {

constexpr char kSingle[] = "model.safetensors";
constexpr char kIndex[] = "model.safetensors.index.json";
constexpr size_t kMaxIndexBytes = size_t{64} << 20;
constexpr size_t kMaxIndexValues = kMaxSafetensorsTensors + 64;

// A plain name in the folder: what an index says must not lead out of it.
bool IsPlainFileName(std::string_view name) {
  const auto plain = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= 255 && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), plain);
}

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Checkpoint>> Checkpoint::Open(const std::string& folder) {
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint(folder));
  SHOAL_RETURN_IF_ERROR(checkpoint->OpenFiles());
  SHOAL_RETURN_IF_ERROR(checkpoint->SortTensors());
  return checkpoint;
}

absl::Status Checkpoint::OpenFiles() {
  const std::string single = JoinPath(folder_, kSingle);
  const std::string index = JoinPath(folder_, kIndex);
  if (Exists(single)) return Add(single);
  if (Exists(index)) return OpenIndexed(index);
  return absl::NotFoundError(
      absl::StrCat(folder_, ": has neither ", kSingle, " nor ", kIndex,
                   "; name a GGUF file, or the folder of a Hugging Face model in safetensors"));
}

absl::Status Checkpoint::OpenIndexed(const std::string& index_path) {
  SHOAL_ASSIGN_OR_RETURN(const JsonValues index,
                         JsonValues::Open(index_path, kMaxIndexBytes, kMaxIndexValues));
  SHOAL_ASSIGN_OR_RETURN(const auto places, index.GetTexts("weight_map"));
  std::map<std::string, uint32_t> files;
  for (const auto& [tensor, file] : places) {
    if (!IsPlainFileName(file)) {
      return absl::InvalidArgumentError(
          absl::StrCat(index_path, ": tensor ", Quoted(tensor), " is in file ", Quoted(file),
                       ", which is no plain file name ([A-Za-z0-9._-]+, no leading '.'); fetch the "
                       "file again"));
    }
    files.emplace(file, 0);
  }
  if (files.empty() || files.size() > kMaxCheckpointFiles) {
    return absl::InvalidArgumentError(absl::StrCat(index_path, ": names ", files.size(),
                                                   " files, not 1 to ", kMaxCheckpointFiles,
                                                   "; fetch the file again"));
  }
  for (auto& [file, number] : files) {
    number = static_cast<uint32_t>(files_.size());
    SHOAL_RETURN_IF_ERROR(Add(JoinPath(folder_, file)));
  }
  for (const auto& [tensor, file] : places) {
    if (files_[files[file]]->Find(tensor) != nullptr) continue;
    return absl::InvalidArgumentError(absl::StrCat(index_path, ": tensor ", Quoted(tensor),
                                                   " is not in file ", Quoted(file),
                                                   "; fetch the model again"));
  }
  return absl::OkStatus();
}

absl::Status Checkpoint::Add(const std::string& path) {
  SHOAL_ASSIGN_OR_RETURN(auto file, SafetensorsReader::Open(path));
  for (const SafetensorsTensor& tensor : file->tensors()) {
    tensors_.push_back({&tensor, static_cast<uint32_t>(files_.size())});
  }
  if (tensors_.size() > kMaxSafetensorsTensors) {
    return absl::InvalidArgumentError(absl::StrCat(
        folder_, ": has more than ", kMaxSafetensorsTensors, " tensors; use another model"));
  }
  begins_.push_back(n_bytes_);
  n_bytes_ += file->file_bytes();
  files_.push_back(std::move(file));
  return absl::OkStatus();
}

absl::Status Checkpoint::SortTensors() {
  std::sort(tensors_.begin(), tensors_.end(), [](const Tensor& a, const Tensor& b) {
    return a.info->name != b.info->name ? a.info->name < b.info->name : a.file < b.file;
  });
  for (size_t i = 1; i < tensors_.size(); ++i) {
    if (tensors_[i].info->name != tensors_[i - 1].info->name) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        files_[tensors_[i].file]->path(), ": tensor ", Quoted(tensors_[i].info->name),
        " is also in ", files_[tensors_[i - 1].file]->path(), "; fetch the model again"));
  }
  return absl::OkStatus();
}

const Checkpoint::Tensor* Checkpoint::Find(std::string_view name) const {
  const auto found =
      std::lower_bound(tensors_.begin(), tensors_.end(), name,
                       [](const Tensor& t, std::string_view n) { return t.info->name < n; });
  return found != tensors_.end() && found->info->name == name ? &*found : nullptr;
}

std::string Checkpoint::HeaderHashes() const {
  std::string hashes;
  for (const auto& file : files_) hashes += file->header_hash();
  return hashes;
}

}  // namespace shoal
