#include "model/import/checkpoint_view.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/quoted.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "model/families/family.h"
#include "model/import/byte_source.h"

namespace shoal {
namespace {

constexpr int64_t kScaleBlock = 128;                   // Rows and columns that share an FP8 scale.
constexpr uint64_t kPieceBytes = uint64_t{256} << 10;  // Converted at once.

float WidenBf16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

float WidenF16(uint16_t bits) {
  const uint32_t sign = (uint32_t{bits} & 0x8000U) << 16;
  const uint32_t magnitude = bits & 0x7FFFU;
  if (magnitude >= 0x7C00U) return std::bit_cast<float>(sign | 0x7F800000U | magnitude << 13);
  // Scaling by 2^112 moves the exponent's bias; it is exact, and subnormal halves become normal.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112F;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(scaled) | sign);
}

// E4M3 without infinities (arXiv:2209.05433): the two codes with all other bits set are NaN.
constexpr std::array<float, 256> MakeF8Values() {
  std::array<float, 256> values{};
  for (int code = 0; code < 256; ++code) {
    const int exponent = code >> 3 & 15;
    const int mantissa = code & 7;
    float value = static_cast<float>(exponent == 0 ? mantissa : 8 + mantissa) / 512.0F;
    for (int e = 1; e < exponent; ++e) value *= 2;
    if ((code & 0x7F) == 0x7F) value = std::numeric_limits<float>::quiet_NaN();
    values[code] = code < 128 ? value : -value;
  }
  return values;
}
constexpr std::array<float, 256> kF8Values = MakeF8Values();

// Four significant bits of an E4M3 value by at most four of a scale are the eight that BF16 has.
bool KeepsBf16Exact(float scale) {
  const bool four_bits = (std::bit_cast<uint32_t>(scale) & 0x000FFFFFU) == 0;
  return four_bits && scale >= 0x1p-100F && scale <= 0x1p100F;
}

template <typename T>
T LoadAt(std::span<const std::byte> bytes, size_t i) {
  T value;
  std::memcpy(&value, bytes.subspan(i * sizeof(T), sizeof(T)).data(), sizeof(T));
  return value;
}
template <typename T>
void StoreAt(std::span<std::byte> bytes, size_t i, T value) {
  std::memcpy(bytes.subspan(i * sizeof(T), sizeof(T)).data(), &value, sizeof(T));
}

// The format that a stored type has here, if it has one.
std::optional<DType> SameFormat(SafetensorsType type) {
  switch (type) {
    case SafetensorsType::kF32:
      return DType::kF32;
    case SafetensorsType::kF16:
      return DType::kF16;
    case SafetensorsType::kBF16:
      return DType::kBF16;
    default:
      return std::nullopt;
  }
}

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

class CheckpointViewBuilder {
 public:
  CheckpointViewBuilder(CheckpointView* view, const CheckpointType& type, const ModelConfig& config)
      : view_(*view),
        checkpoint_(*view->checkpoint_),
        type_(type),
        config_(config),
        family_(*FindFamily(config.architecture)),
        used_(checkpoint_.tensors().size()) {}

  absl::Status Build() {
    for (const TensorSpec& spec : family_.tensors) {
      const int n = IsPerLayer(spec) ? config_.n_layers : 1;
      for (int layer = 0; layer < n; ++layer) {
        if (Applies(spec, config_, layer)) SHOAL_RETURN_IF_ERROR(AddTensor(spec, layer));
      }
    }
    SHOAL_RETURN_IF_ERROR(CheckAllUsed());
    Sort();
    for (const TensorSpec& spec : family_.tensors) {
      if (!spec.f32_only) continue;
      const int n = IsPerLayer(spec) ? config_.n_layers : 1;
      for (int layer = 0; layer < n; ++layer) {
        const TensorInfo* tensor = view_.Find(TensorName(spec, layer));
        if (tensor != nullptr) SHOAL_RETURN_IF_ERROR(CheckFinite(view_, *tensor));
      }
    }
    return absl::OkStatus();
  }

 private:
  using Part = CheckpointView::Part;
  using Cut = CheckpointView::Cut;
  using Recipe = CheckpointView::Recipe;

  absl::Status Refuse(const std::string& name, const std::string& message) const {
    return absl::InvalidArgumentError(
        absl::StrCat(checkpoint_.folder(), ": tensor ", Quoted(name), " ", message));
  }

  const Checkpoint::Tensor* Use(const std::string& name) {
    const Checkpoint::Tensor* tensor = checkpoint_.Find(name);
    if (tensor != nullptr) used_[tensor - checkpoint_.tensors().data()] = true;
    return tensor;
  }

  absl::Status AddTensor(const TensorSpec& spec, int layer) {
    if (PlaceOf(spec) == TensorPlace::kConfig) return absl::OkStatus();
    const CheckpointName* name = FindName(type_, spec.role);
    SHOAL_CHECK(name != nullptr);
    if (spec.role == TensorRole::kOutput && config_.tied_embeddings) {
      Use(TensorName(*name, layer, 0));  // Some write the tied head too.
      return absl::OkStatus();
    }
    TensorInfo tensor;
    tensor.name = TensorName(spec, layer);
    tensor.shape = TensorShape(spec, config_);
    Recipe recipe;
    std::vector<int64_t> shape = tensor.shape;
    int64_t n_parts = 1;
    if (HasTensorPerExpert(*name)) {
      n_parts = shape.front();
      shape.erase(shape.begin());
    }
    recipe.cols = shape.back();
    recipe.rows = std::accumulate(shape.begin(), shape.end() - 1, int64_t{1}, std::multiplies<>());
    recipe.cut = CutOf(*name, recipe.rows);
    if (recipe.cut.length != recipe.rows) {
      shape.at(shape.size() - 2) =
          shape.at(shape.size() - 2) / recipe.cut.length * recipe.cut.period;
    }
    for (int64_t i = 0; i < n_parts; ++i) {
      SHOAL_ASSIGN_OR_RETURN(
          const Part part, FindPart(TensorName(*name, layer, static_cast<int>(i)), shape, recipe));
      recipe.parts.push_back(part);
    }
    SHOAL_ASSIGN_OR_RETURN(tensor.dtype, FormatOf(spec, recipe));
    // Shapes are those of tensors that are in files, so that the products cannot overflow.
    recipe.part_bytes = static_cast<uint64_t>(recipe.rows * RowBytes(tensor.dtype, recipe.cols));
    tensor.n_bytes = recipe.part_bytes * recipe.parts.size();
    view_.tensors_.push_back(std::move(tensor));
    view_.recipes_.push_back(std::move(recipe));
    return absl::OkStatus();
  }

  Cut CutOf(const CheckpointName& name, int64_t rows) const {
    if (name.segments.front() == Extent::kNone) return {.period = rows, .begin = 0, .length = rows};
    Cut cut;
    for (int i = 0; i < static_cast<int>(name.segments.size()); ++i) {
      const int64_t extent = ExtentOf(name.segments[static_cast<size_t>(i)], config_);
      if (i < name.segment) cut.begin += extent;
      if (i == name.segment) cut.length = extent;
      cut.period += extent;
    }
    return cut;
  }

  absl::StatusOr<Part> FindPart(const std::string& name, const std::vector<int64_t>& shape,
                                const Recipe& recipe) {
    Part part;
    part.source = Use(name);
    if (part.source == nullptr) {
      return Refuse(name, absl::StrCat("is missing; model_type ", std::string(type_.model_type),
                                       " needs it: fetch the model again"));
    }
    if (part.source->info->shape != shape) {
      return Refuse(name, absl::StrCat("has shape [", absl::StrJoin(part.source->info->shape, ", "),
                                       "], not [", absl::StrJoin(shape, ", "),
                                       "] as config.json says; fetch the model again"));
    }
    const SafetensorsType type = part.source->info->type;
    if (type == SafetensorsType::kF8E4M3) {
      SHOAL_ASSIGN_OR_RETURN(part.scales, FindScales(name, recipe));
    } else if (!SameFormat(type)) {
      return Refuse(name, absl::StrCat("has type ", std::string(SafetensorsTypeName(type)),
                                       ", which is not read; use a model in BF16, F16, F32, or "
                                       "F8_E4M3 with scales for blocks of 128 x 128"));
    }
    return part;
  }

  absl::StatusOr<const Checkpoint::Tensor*> FindScales(const std::string& name,
                                                       const Recipe& recipe) {
    const std::string scale_name = name + "_scale_inv";
    const Checkpoint::Tensor* scales = Use(scale_name);
    if (scales == nullptr) {
      return Refuse(scale_name,
                    "is missing; F8_E4M3 is read with one F32 scale for each block of "
                    "128 x 128: use a model in that form, or in BF16");
    }
    const int64_t stored_rows = recipe.rows / recipe.cut.length * recipe.cut.period;
    const std::vector<int64_t> wanted = {CeilDiv(stored_rows, kScaleBlock),
                                         CeilDiv(recipe.cols, kScaleBlock)};
    if (scales->info->type == SafetensorsType::kF32 && scales->info->shape == wanted) return scales;
    return Refuse(scale_name,
                  absl::StrCat("is ", std::string(SafetensorsTypeName(scales->info->type)), " [",
                               absl::StrJoin(scales->info->shape, ", "), "], not F32 [",
                               absl::StrJoin(wanted, ", "), "]; use another model"));
  }

  // A stack has one format: that of its parts.
  absl::StatusOr<DType> FormatOf(const TensorSpec& spec, const Recipe& recipe) const {
    const SafetensorsTensor& first = *recipe.parts.front().source->info;
    bool exact = true;
    for (const Part& part : recipe.parts) {
      if (part.source->info->type != first.type) {
        return Refuse(
            part.source->info->name,
            absl::StrCat("has type ", std::string(SafetensorsTypeName(part.source->info->type)),
                         ", but ", Quoted(first.name), " has ",
                         std::string(SafetensorsTypeName(first.type)),
                         "; use a model whose experts are alike"));
      }
      if (part.scales != nullptr) {
        SHOAL_ASSIGN_OR_RETURN(const bool scales_exact, CheckScales(*part.scales));
        exact = exact && scales_exact;
      }
    }
    if (spec.f32_only) return DType::kF32;
    if (const auto same = SameFormat(first.type)) return *same;
    return exact ? DType::kBF16 : DType::kF32;
  }

  // True if BF16 holds every product with them.
  absl::StatusOr<bool> CheckScales(const Checkpoint::Tensor& scales) const {
    bool exact = true;
    std::array<std::byte, 16384> buffer;
    for (uint64_t offset = 0; offset < scales.info->n_bytes; offset += buffer.size()) {
      const auto piece =
          std::span(buffer).first(std::min<uint64_t>(buffer.size(), scales.info->n_bytes - offset));
      SHOAL_RETURN_IF_ERROR(checkpoint_.Read(scales, offset, piece));
      for (size_t i = 0; i < piece.size() / sizeof(float); ++i) {
        const auto scale = LoadAt<float>(piece, i);
        if (!std::isfinite(scale)) {
          return Refuse(scales.info->name,
                        absl::StrCat("has element ", offset / sizeof(float) + i, " ", scale,
                                     ", not a finite number; fetch the model again"));
        }
        exact = exact && KeepsBf16Exact(scale);
      }
    }
    return exact;
  }

  absl::Status CheckAllUsed() const {
    for (size_t i = 0; i < used_.size(); ++i) {
      const std::string& name = checkpoint_.tensors()[i].info->name;
      // Old exports store RoPE's frequencies, which follow from config.json.
      if (used_[i] || name.ends_with("rotary_emb.inv_freq")) continue;
      return Refuse(name, absl::StrCat("is no part of model_type ", std::string(type_.model_type),
                                       " with ", config_.n_layers, " layers and ",
                                       config_.n_experts, " experts; use another model"));
    }
    return absl::OkStatus();
  }

  void Sort() {
    std::vector<size_t> order(view_.tensors_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [this](size_t a, size_t b) {
      return view_.tensors_[a].name < view_.tensors_[b].name;
    });
    std::vector<TensorInfo> tensors;
    std::vector<Recipe> recipes;
    for (const size_t i : order) {
      tensors.push_back(std::move(view_.tensors_[i]));
      recipes.push_back(std::move(view_.recipes_[i]));
    }
    view_.tensors_ = std::move(tensors);
    view_.recipes_ = std::move(recipes);
  }

  CheckpointView& view_;
  const Checkpoint& checkpoint_;
  const CheckpointType& type_;
  const ModelConfig& config_;
  const Family& family_;
  std::vector<bool> used_;
};

absl::StatusOr<std::unique_ptr<CheckpointView>> CheckpointView::Create(
    std::unique_ptr<Checkpoint> checkpoint, const CheckpointType& type, const ModelConfig& config,
    std::string_view identity) {
  std::unique_ptr<CheckpointView> view(new CheckpointView(std::move(checkpoint)));
  SHOAL_RETURN_IF_ERROR(CheckpointViewBuilder(view.get(), type, config).Build());
  const std::string whole = absl::StrCat(view->checkpoint_->HeaderHashes(), std::string(identity));
  view->hash_ = Sha256Hex(std::as_bytes(std::span(whole)));
  return view;
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

uint64_t CheckpointView::Position(const TensorInfo& tensor, uint64_t offset) const {
  const Recipe& recipe = RecipeOf(tensor);
  const size_t part = std::min<size_t>(offset / recipe.part_bytes, recipe.parts.size() - 1);
  const Checkpoint::Tensor& source = *recipe.parts[part].source;
  const uint64_t within = offset - part * recipe.part_bytes;
  const auto row_bytes = static_cast<uint64_t>(RowBytes(tensor.dtype, recipe.cols));
  const int64_t row = recipe.cut.StoredRow(static_cast<int64_t>(within / row_bytes));
  // Good enough for an order where the stored bytes are fewer.
  return checkpoint_->Position(
      source,
      std::min(static_cast<uint64_t>(row) * row_bytes + within % row_bytes, source.info->n_bytes));
}

absl::Status CheckpointView::Read(const TensorInfo& tensor, uint64_t offset,
                                  std::span<std::byte> out) const {
  SHOAL_RETURN_IF_ERROR(
      PositionIn(path(), tensor.name, 0, tensor.n_bytes, offset, out.size()).status());
  const Recipe& recipe = RecipeOf(tensor);
  const auto row_bytes = static_cast<uint64_t>(RowBytes(tensor.dtype, recipe.cols));
  std::vector<std::byte> scratch;
  while (!out.empty()) {
    const Part& part = recipe.parts[offset / recipe.part_bytes];
    const uint64_t within = offset % recipe.part_bytes;
    const auto row = static_cast<int64_t>(within / row_bytes);
    const uint64_t skip = within % row_bytes;
    const int64_t stored_row = recipe.cut.StoredRow(row);
    uint64_t n_rows = static_cast<uint64_t>(recipe.cut.RowsInOne(row));
    uint64_t n = std::min<uint64_t>(out.size(), n_rows * row_bytes - skip);
    if (SameFormat(part.source->info->type) == tensor.dtype) {
      const uint64_t begin = static_cast<uint64_t>(stored_row) * row_bytes + skip;
      SHOAL_RETURN_IF_ERROR(checkpoint_->Read(*part.source, begin, out.first(n)));
    } else {
      n_rows = std::min((skip + n + row_bytes - 1) / row_bytes,
                        std::max<uint64_t>(kPieceBytes / row_bytes, 1));
      n = std::min(n, n_rows * row_bytes - skip);
      scratch.resize(n_rows * row_bytes);
      SHOAL_RETURN_IF_ERROR(ReadRows(tensor, part, stored_row, scratch));
      std::memcpy(out.data(), scratch.data() + skip, n);
    }
    out = out.subspan(n);
    offset += n;
  }
  return absl::OkStatus();
}

absl::Status CheckpointView::ReadRows(const TensorInfo& tensor, const Part& part, int64_t first_row,
                                      std::span<std::byte> out) const {
  const auto elem_bytes = SafetensorsTypeBytes(part.source->info->type);
  const Recipe& recipe = RecipeOf(tensor);
  const uint64_t n_elems = out.size() / static_cast<uint64_t>(Traits(tensor.dtype).block_bytes);
  std::vector<std::byte> stored(n_elems * elem_bytes);
  const uint64_t begin = static_cast<uint64_t>(first_row * recipe.cols) * elem_bytes;
  SHOAL_RETURN_IF_ERROR(checkpoint_->Read(*part.source, begin, stored));
  switch (part.source->info->type) {
    case SafetensorsType::kBF16:
      for (size_t i = 0; i < n_elems; ++i) {
        StoreAt(out, i, WidenBf16(LoadAt<uint16_t>(stored, i)));
      }
      return absl::OkStatus();
    case SafetensorsType::kF16:
      for (size_t i = 0; i < n_elems; ++i) StoreAt(out, i, WidenF16(LoadAt<uint16_t>(stored, i)));
      return absl::OkStatus();
    default:
      return Unpack(tensor, part, first_row, stored, out);
  }
}

// FP8 by its scales.
absl::Status CheckpointView::Unpack(const TensorInfo& tensor, const Part& part, int64_t first_row,
                                    std::span<const std::byte> stored,
                                    std::span<std::byte> out) const {
  const int64_t cols = RecipeOf(tensor).cols;
  std::vector<float> scales(CeilDiv(cols, kScaleBlock));
  int64_t scale_row = -1;
  for (size_t i = 0; i < stored.size(); ++i) {
    const int64_t row = first_row + static_cast<int64_t>(i) / cols;
    if (row / kScaleBlock != scale_row) {
      scale_row = row / kScaleBlock;
      SHOAL_RETURN_IF_ERROR(checkpoint_->Read(*part.scales,
                                              scale_row * scales.size() * sizeof(float),
                                              std::as_writable_bytes(std::span(scales))));
    }
    const float scale = scales[static_cast<int64_t>(i) % cols / kScaleBlock];
    const float value = kF8Values[std::to_integer<uint8_t>(stored[i])] * scale;
    if (!std::isfinite(value)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path(), ": tensor ", Quoted(part.source->info->name), ": element ",
                       static_cast<uint64_t>(first_row * cols) + i,
                       " is not a finite number; fetch the model again"));
    }
    if (tensor.dtype == DType::kF32) {
      StoreAt(out, i, value);
    } else {  // Exact: FormatOf has looked at the scales.
      StoreAt(out, i, static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16));
    }
  }
  return absl::OkStatus();
}

}  // namespace shoal
