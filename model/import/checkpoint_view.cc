#include "model/import/checkpoint_view.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "model/families/family.h"
#include "model/import/byte_source.h"
#include "model/import/checkpoint_recipes.h"

namespace shoal {
namespace {

constexpr int64_t kPieceBytes = int64_t{256} << 10;  // Converted at once.
// Transposed at once: one row needs a part of every stored one, so that many are taken together.
constexpr int64_t kTransposedBytes = int64_t{4} << 20;
// Stored runs below this are read with what lies between them.
constexpr int64_t kShortRunBytes = 4096;

}  // namespace

absl::StatusOr<std::unique_ptr<CheckpointView>> CheckpointView::Create(
    std::unique_ptr<Checkpoint> checkpoint, const CheckpointConfig& config,
    std::string_view identity) {
  std::unique_ptr<CheckpointView> view(new CheckpointView(std::move(checkpoint)));
  SHOAL_ASSIGN_OR_RETURN(CheckpointRecipes recipes,
                         MakeCheckpointRecipes(*view->checkpoint_, config));
  view->tensors_ = std::move(recipes.tensors);
  view->recipes_ = std::move(recipes.recipes);
  view->n_of_other_parts_ = recipes.n_of_other_parts;
  SHOAL_RETURN_IF_ERROR(view->CheckNumbers(config));
  const std::string whole = absl::StrCat(view->checkpoint_->HeaderHashes(), std::string(identity));
  view->hash_ = Sha256Hex(std::as_bytes(std::span(whole)));
  return view;
}

absl::Status CheckpointView::CheckNumbers(const CheckpointConfig& config) const {
  for (const TensorSpec& spec : FindFamily(config.config.architecture)->tensors) {
    if (!spec.f32_only) continue;
    const int n = IsPerLayer(spec) ? config.config.n_layers : 1;
    for (int layer = 0; layer < n; ++layer) {
      const TensorInfo* tensor = Find(TensorName(spec, layer));
      if (tensor != nullptr) SHOAL_RETURN_IF_ERROR(CheckFinite(*this, *tensor));
    }
  }
  return absl::OkStatus();
}

const TensorInfo* CheckpointView::Find(std::string_view name) const {
  const auto found =
      std::lower_bound(tensors_.begin(), tensors_.end(), name,
                       [](const TensorInfo& t, std::string_view n) { return t.name < n; });
  return found != tensors_.end() && found->name == name ? &*found : nullptr;
}

// What loading takes: conversions can make it more than the files have.
uint64_t CheckpointView::file_bytes() const {
  return std::accumulate(tensors_.begin(), tensors_.end(), uint64_t{0},
                         [](uint64_t sum, const TensorInfo& t) { return sum + t.n_bytes; });
}

namespace {

// The part that has the row.
const TensorRecipe::Part& PartOf(const TensorRecipe& recipe, int64_t row) {
  const auto after = std::upper_bound(
      recipe.parts.begin(), recipe.parts.end(), row,
      [](int64_t r, const TensorRecipe::Part& part) { return r < part.first_row; });
  return *std::prev(after);
}

}  // namespace

uint64_t CheckpointView::Position(const TensorInfo& tensor, uint64_t offset) const {
  const TensorRecipe& recipe = RecipeOf(tensor);
  const auto row_bytes = static_cast<uint64_t>(RowBytes(tensor.dtype, recipe.cols));
  const auto row = static_cast<int64_t>(offset / row_bytes);
  const TensorRecipe::Part& part = PartOf(recipe, row);
  const auto stored_row = static_cast<uint64_t>(part.cut.StoredRow(row - part.first_row));
  // Good enough for an order where the stored bytes are others.
  const uint64_t within = stored_row * row_bytes + offset % row_bytes;
  const Checkpoint::Tensor& source = *part.stored.source;
  return checkpoint_->Position(source, std::min(within, source.info->n_bytes));
}

absl::Status CheckpointView::Read(const TensorInfo& tensor, uint64_t offset,
                                  std::span<std::byte> out) const {
  SHOAL_RETURN_IF_ERROR(
      PositionIn(path(), tensor.name, 0, tensor.n_bytes, offset, out.size()).status());
  const TensorRecipe& recipe = RecipeOf(tensor);
  const int64_t row_bytes = RowBytes(tensor.dtype, recipe.cols);
  std::vector<std::byte> scratch;
  while (!out.empty()) {
    const int64_t row = static_cast<int64_t>(offset) / row_bytes;
    const auto skip = static_cast<uint64_t>(static_cast<int64_t>(offset) % row_bytes);
    const TensorRecipe::Part& part = PartOf(recipe, row);
    const int64_t wanted = (static_cast<int64_t>(skip + out.size()) + row_bytes - 1) / row_bytes;
    const int64_t n_rows = RowsAtOnce(recipe, part, row - part.first_row, row_bytes, wanted);
    const uint64_t n =
        std::min<uint64_t>(out.size(), static_cast<uint64_t>(n_rows * row_bytes) - skip);
    if (skip == 0 && n == static_cast<uint64_t>(n_rows * row_bytes)) {
      SHOAL_RETURN_IF_ERROR(ReadRows(tensor, part, row - part.first_row, out.first(n)));
    } else {
      scratch.resize(static_cast<size_t>(n_rows * row_bytes));
      SHOAL_RETURN_IF_ERROR(ReadRows(tensor, part, row - part.first_row, scratch));
      std::memcpy(out.data(), scratch.data() + skip, n);
    }
    out = out.subspan(n);
    offset += n;
  }
  return absl::OkStatus();
}

int64_t CheckpointView::RowsAtOnce(const TensorRecipe& recipe, const TensorRecipe::Part& part,
                                   int64_t row, int64_t row_bytes, int64_t wanted) const {
  const int64_t piece = recipe.transposed_rows > 0 ? kTransposedBytes : kPieceBytes;
  const int64_t n = std::min({wanted, part.n_rows - row, std::max<int64_t>(piece / row_bytes, 1)});
  if (recipe.transposed_rows == 0) return n;
  return std::min(n, recipe.transposed_rows - row % recipe.transposed_rows);
}

absl::Status CheckpointView::ReadRows(const TensorInfo& tensor, const TensorRecipe::Part& part,
                                      int64_t row, std::span<std::byte> out) const {
  const TensorRecipe& recipe = RecipeOf(tensor);
  if (recipe.transposed_rows > 0) return ReadTransposed(tensor, part, row, out);
  const int64_t row_bytes = RowBytes(tensor.dtype, recipe.cols);
  const auto read = [&](int64_t stored_row, std::span<std::byte> rows) {
    return ReadValues(*checkpoint_, part.stored, tensor.dtype, stored_row * recipe.cols, rows);
  };
  const auto bytes_of = [row_bytes](int64_t n_rows) {
    return static_cast<size_t>(n_rows * row_bytes);
  };
  const int64_t n_rows = static_cast<int64_t>(out.size()) / row_bytes;
  const bool short_runs =
      part.cut.length < part.n_rows && part.cut.length * row_bytes < kShortRunBytes;
  std::vector<std::byte> between;
  const int64_t first = part.cut.StoredRow(row);
  if (short_runs) {
    between.resize(bytes_of(part.cut.StoredRow(row + n_rows - 1) - first + 1));
    SHOAL_RETURN_IF_ERROR(read(first, between));
  }
  for (int64_t done = 0; done < n_rows;) {
    const int64_t stored_row = part.cut.StoredRow(row + done);
    const int64_t n = std::min(n_rows - done, part.cut.RowsInOne(row + done));
    const auto rows = out.subspan(bytes_of(done), bytes_of(n));
    if (short_runs) {
      std::memcpy(rows.data(), between.data() + bytes_of(stored_row - first), rows.size());
    } else {
      SHOAL_RETURN_IF_ERROR(read(stored_row, rows));
    }
    done += n;
  }
  return absl::OkStatus();
}

// Column c of the rows is a piece of one stored row.
absl::Status CheckpointView::ReadTransposed(const TensorInfo& tensor,
                                            const TensorRecipe::Part& part, int64_t row,
                                            std::span<std::byte> out) const {
  const TensorRecipe& recipe = RecipeOf(tensor);
  const RowCut& cut = part.cut;
  const auto elem_bytes = static_cast<size_t>(RowBytes(tensor.dtype, 1));
  const int64_t n_rows = static_cast<int64_t>(out.size() / elem_bytes) / recipe.cols;
  const int64_t matrix = row / recipe.transposed_rows;
  const int64_t r = row % recipe.transposed_rows;
  const auto column_of = [&](int64_t i) {
    return recipe.cut_before_transposing ? r + i : cut.StoredRow(r + i);
  };
  std::vector<std::byte> piece(static_cast<size_t>(column_of(n_rows - 1) - column_of(0) + 1) *
                               elem_bytes);
  for (int64_t c = 0; c < recipe.cols; ++c) {
    const int64_t line = matrix * recipe.cols + c;
    const int64_t stored_row = recipe.cut_before_transposing ? cut.StoredRow(line) : line;
    SHOAL_RETURN_IF_ERROR(ReadValues(*checkpoint_, part.stored, tensor.dtype,
                                     stored_row * part.stored.cols + column_of(0), piece));
    for (int64_t i = 0; i < n_rows; ++i) {
      const auto from = static_cast<size_t>(column_of(i) - column_of(0)) * elem_bytes;
      std::memcpy(out.data() + static_cast<size_t>(i * recipe.cols + c) * elem_bytes,
                  piece.data() + from, elem_bytes);
    }
  }
  return absl::OkStatus();
}

}  // namespace shoal
