#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/families/family.h"
#include "model/import/checkpoint.h"
#include "model/import/model_file.h"
#include "model/model_config.h"

namespace shoal {

// A checkpoint's tensors as the family's table wants them: renamed, cut out of those that are
// stored as one, experts stacked, norms and routers widened to F32, FP8 with scales for blocks of
// 128 x 128 as BF16 where that loses nothing and F32 otherwise. All of it happens as bytes are
// read: nothing is copied before. Read is thread-safe.
class CheckpointView final : public ModelFile {
 public:
  // Checks that every tensor the architecture needs is there with the right shape and a type that
  // is read, that no other is, and that norms, routers and scales are finite. `identity` goes into
  // HeaderHash.
  static absl::StatusOr<std::unique_ptr<CheckpointView>> Create(
      std::unique_ptr<Checkpoint> checkpoint, const CheckpointType& type, const ModelConfig& config,
      std::string_view identity);

  const TensorInfo* Find(std::string_view name) const override;
  absl::Status Read(const TensorInfo& tensor, uint64_t offset,
                    std::span<std::byte> out) const override;
  const std::string& path() const override { return checkpoint_->folder(); }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  uint64_t file_bytes() const override;
  uint64_t Position(const TensorInfo& tensor, uint64_t offset) const override;
  std::string HeaderHash() const override { return hash_; }

 private:
  friend class CheckpointViewBuilder;
  // One stored matrix or vector of a tensor, or what is cut out of it.
  struct Part {
    const Checkpoint::Tensor* source = nullptr;
    const Checkpoint::Tensor* scales = nullptr;  // Of FP8.
  };
  // Which stored rows a part has: `length` from `begin` on in every `period`.
  struct Cut {
    int64_t period = 0;
    int64_t begin = 0;
    int64_t length = 0;
    int64_t StoredRow(int64_t row) const { return row / length * period + begin + row % length; }
    int64_t RowsInOne(int64_t row) const { return length - row % length; }  // From there on.
  };
  // Parallel to tensors_. A stack of matrices that are stored one by one has one part for each.
  struct Recipe {
    std::vector<Part> parts;
    Cut cut;
    int64_t rows = 0;  // Of one part, [rows, cols].
    int64_t cols = 0;
    uint64_t part_bytes = 0;  // As they come out.
  };

  explicit CheckpointView(std::unique_ptr<Checkpoint> checkpoint)
      : checkpoint_(std::move(checkpoint)) {}
  const Recipe& RecipeOf(const TensorInfo& tensor) const {
    return recipes_[static_cast<size_t>(&tensor - tensors_.data())];
  }
  // Whole stored rows of one part, converted.
  absl::Status ReadRows(const TensorInfo& tensor, const Part& part, int64_t first_row,
                        std::span<std::byte> out) const;
  absl::Status Unpack(const TensorInfo& tensor, const Part& part, int64_t first_row,
                      std::span<const std::byte> stored, std::span<std::byte> out) const;

  const std::unique_ptr<Checkpoint> checkpoint_;
  std::vector<TensorInfo> tensors_;  // Ascending by name.
  std::vector<Recipe> recipes_;
  std::string hash_;
};

}  // namespace shoal
