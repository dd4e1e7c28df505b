#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/import/checkpoint.h"
#include "model/import/checkpoint_config.h"
#include "model/import/model_file.h"
#include "model/import/stored_values.h"

namespace shoal {

// Which stored rows a tensor is made of: `length` from `begin` on in every `period`.
struct RowCut {
  int64_t period = 0;
  int64_t begin = 0;
  int64_t length = 0;
  int64_t StoredRow(int64_t row) const { return row / length * period + begin + row % length; }
  int64_t RowsInOne(int64_t row) const { return length - row % length; }  // From there on.
};

// How a tensor of the family's table comes out of those that are stored.
struct TensorRecipe {
  // Rows one behind the other: all of a stored tensor, or what is cut out of it.
  struct Part {
    StoredTensor stored;
    RowCut cut;
    int64_t first_row = 0;
    int64_t n_rows = 0;
  };
  std::vector<Part> parts;
  int64_t cols = 0;
  // 0: a row is stored as one. Otherwise the matrices, of so many rows each, are stored transposed:
  // their columns are rows. The cut then is of the columns of what is stored, or of its rows.
  int64_t transposed_rows = 0;
  bool cut_before_transposing = false;
};

// A checkpoint's tensors as the family's table wants them: renamed, cut out of those that are
// stored as one, transposed where they are stored so, experts stacked, norms and routers widened to
// F32, FP8 with scales for blocks of 128 x 128 as BF16 where that loses nothing and F32 otherwise,
// MXFP4 in GGUF's blocks. All of it happens as bytes are read: nothing is copied before. Read is
// thread-safe.
class CheckpointView final : public ModelFile {
 public:
  // Checks that every tensor the architecture needs is there with the right shape and a type that
  // is read, that no other is, and that norms, routers and scales are finite. `identity` goes into
  // HeaderHash.
  static absl::StatusOr<std::unique_ptr<CheckpointView>> Create(
      std::unique_ptr<Checkpoint> checkpoint, const CheckpointConfig& config,
      std::string_view identity);

  const TensorInfo* Find(std::string_view name) const override;
  absl::Status Read(const TensorInfo& tensor, uint64_t offset,
                    std::span<std::byte> out) const override;
  const std::string& path() const override { return checkpoint_->folder(); }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  uint64_t file_bytes() const override;
  uint64_t Position(const TensorInfo& tensor, uint64_t offset) const override;
  std::string HeaderHash() const override { return hash_; }
  // How many stored tensors are of parts that do not read text.
  int n_of_other_parts() const { return n_of_other_parts_; }

 private:
  explicit CheckpointView(std::unique_ptr<Checkpoint> checkpoint)
      : checkpoint_(std::move(checkpoint)) {}
  const TensorRecipe& RecipeOf(const TensorInfo& tensor) const {
    return recipes_[static_cast<size_t>(&tensor - tensors_.data())];
  }
  absl::Status CheckNumbers(const CheckpointConfig& config) const;
  // How many rows of a part are read at once from `row`, a row within it, on, of `wanted`.
  int64_t RowsAtOnce(const TensorRecipe& recipe, const TensorRecipe::Part& part, int64_t row,
                     int64_t row_bytes, int64_t wanted) const;
  // Whole rows of one part, converted.
  absl::Status ReadRows(const TensorInfo& tensor, const TensorRecipe::Part& part, int64_t row,
                        std::span<std::byte> out) const;
  absl::Status ReadTransposed(const TensorInfo& tensor, const TensorRecipe::Part& part, int64_t row,
                              std::span<std::byte> out) const;

  const std::unique_ptr<Checkpoint> checkpoint_;
  std::vector<TensorInfo> tensors_;    // Ascending by name.
  std::vector<TensorRecipe> recipes_;  // Parallel to it.
  std::string hash_;
  int n_of_other_parts_ = 0;
};

}  // namespace shoal
