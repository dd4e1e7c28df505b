#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/import/safetensors_reader.h"

namespace shoal {

inline constexpr size_t kMaxCheckpointFiles = 1024;

// The tensors of a Hugging Face folder: model.safetensors, or the files that
// model.safetensors.index.json names. Immutable; Read is thread-safe.
class Checkpoint {
 public:
  struct Tensor {
    const SafetensorsTensor* info;
    uint32_t file;
  };

  // NotFound naming what was looked for; InvalidArgument when an index and its files disagree, or
  // two files have a tensor of one name.
  static absl::StatusOr<std::unique_ptr<Checkpoint>> Open(const std::string& folder);

  const Tensor* Find(std::string_view name) const;
  absl::Status Read(const Tensor& tensor, uint64_t offset, std::span<std::byte> out) const {
    return files_[tensor.file]->Read(*tensor.info, offset, out);
  }
  // Where that byte lies if the files stand one behind the other.
  uint64_t Position(const Tensor& tensor, uint64_t offset) const {
    return begins_[tensor.file] + tensor.info->file_offset + offset;
  }
  // Ascending by name.
  const std::vector<Tensor>& tensors() const { return tensors_; }
  const std::string& folder() const { return folder_; }
  uint64_t n_bytes() const { return n_bytes_; }  // Of all files.
  // Every file's header hash, one behind the other.
  std::string HeaderHashes() const;

 private:
  explicit Checkpoint(std::string folder) : folder_(std::move(folder)) {}
  absl::Status OpenFiles();
  absl::Status OpenIndexed(const std::string& index_path);
  absl::Status Add(const std::string& path);
  absl::Status SortTensors();

  const std::string folder_;
  std::vector<std::unique_ptr<SafetensorsReader>> files_;
  std::vector<uint64_t> begins_;
  uint64_t n_bytes_ = 0;
  std::vector<Tensor> tensors_;
};

}  // namespace shoal
