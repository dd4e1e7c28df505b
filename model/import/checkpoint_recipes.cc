#include "model/import/checkpoint_recipes.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/families/family.h"
#include "model/import/text_part.h"

namespace shoal {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t Product(std::span<const int64_t> shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

class RecipeMaker {
 public:
  using Part = TensorRecipe::Part;

  RecipeMaker(const Checkpoint& checkpoint, const CheckpointConfig& config)
      : checkpoint_(checkpoint),
        read_(config),
        type_(*config.type),
        config_(config.config),
        family_(*FindFamily(config.config.architecture)),
        used_(checkpoint.tensors().size()) {
    if (!read_.is_part) return;
    part_names_ = KnownPartNames().front();
    const CheckpointName* embedding = FindName(type_, TensorRole::kTokenEmbd);
    for (const PartNames& names : KnownPartNames()) {
      const bool there = checkpoint.Find(NameInWhole(embedding->name, names)) != nullptr;
      if (there) part_names_ = names;
    }
  }

  absl::StatusOr<CheckpointRecipes> Make() {
    for (const TensorSpec& spec : family_.tensors) {
      const int n = IsPerLayer(spec) ? config_.n_layers : 1;
      for (int layer = 0; layer < n; ++layer) {
        if (Applies(spec, config_, layer)) SHOAL_RETURN_IF_ERROR(AddTensor(spec, layer));
      }
    }
    SHOAL_RETURN_IF_ERROR(CheckAllUsed());
    return Sorted();
  }

 private:
  absl::Status Refuse(const std::string& name, const std::string& message) const {
    return absl::InvalidArgumentError(
        absl::StrCat(checkpoint_.folder(), ": tensor ", Quoted(name), " ", message));
  }

  std::string StoredName(const CheckpointName& name, int layer, int expert) const {
    const std::string plain = TensorName(name, layer, expert);
    return part_names_ ? NameInWhole(plain, *part_names_) : plain;
  }

  const Checkpoint::Tensor* Use(const std::string& name) {
    const Checkpoint::Tensor* tensor = checkpoint_.Find(name);
    if (tensor != nullptr) used_[static_cast<size_t>(tensor - checkpoint_.tensors().data())] = true;
    return tensor;
  }

  static bool Has(const std::vector<TensorRole>& roles, TensorRole role) {
    return std::ranges::find(roles, role) != roles.end();
  }

  absl::Status AddTensor(const TensorSpec& spec, int layer) {
    const CheckpointName* first = FindName(type_, spec.role);
    if (PlaceOf(spec) == TensorPlace::kConfig || (first == nullptr && spec.optional)) {
      return absl::OkStatus();
    }
    SHOAL_CHECK(first != nullptr);
    const std::string stored_name = StoredName(*first, layer, 0);
    if (spec.role == TensorRole::kOutput && config_.tied_embeddings) {
      Use(stored_name);  // Some write the tied head too.
      return absl::OkStatus();
    }
    if (Has(read_.absent, spec.role)) return absl::OkStatus();
    const bool may_lack =
        spec.optional && spec.role != TensorRole::kOutput && !Has(read_.present, spec.role);
    if (may_lack && checkpoint_.Find(stored_name) == nullptr) return absl::OkStatus();
    TensorInfo tensor;
    tensor.name = TensorName(spec, layer);
    tensor.shape = TensorShape(spec, config_);
    TensorRecipe recipe;
    recipe.cols = first->form == StoredForm::kElements ? 1 : tensor.shape.back();
    for (const CheckpointName& name : type_.tensors) {
      if (name.role == spec.role) {
        SHOAL_RETURN_IF_ERROR(AddParts(name, tensor.shape, layer, &recipe));
      }
    }
    SHOAL_ASSIGN_OR_RETURN(tensor.dtype, FormatOf(spec, recipe));
    const int64_t n_rows = recipe.parts.back().first_row + recipe.parts.back().n_rows;
    SHOAL_CHECK(n_rows * recipe.cols == Product(tensor.shape));
    // Shapes are those of tensors that are in files, so that the product cannot overflow.
    tensor.n_bytes = static_cast<uint64_t>(n_rows * RowBytes(tensor.dtype, recipe.cols));
    out_.tensors.push_back(std::move(tensor));
    out_.recipes.push_back(std::move(recipe));
    return absl::OkStatus();
  }

  absl::Status AddParts(const CheckpointName& name, std::vector<int64_t> shape, int layer,
                        TensorRecipe* recipe) {
    int n_parts = 1;
    if (HasTensorPerExpert(name)) {
      n_parts = static_cast<int>(shape.front());
      shape.erase(shape.begin());
    }
    for (int i = 0; i < n_parts; ++i) {
      SHOAL_RETURN_IF_ERROR(AddPart(name, shape, StoredName(name, layer, i), recipe));
    }
    return absl::OkStatus();
  }

  // Where a name's segment lies in a period, and how long all are that its tensor has of one.
  struct Segment {
    RowCut cut;
    int64_t taken = 0;
  };
  Segment SegmentOf(const CheckpointName& name) const {
    Segment segment;
    for (size_t i = 0; i < name.segments.size(); ++i) {
      const int64_t extent = ExtentOf(name.segments[i], config_);
      if (i < static_cast<size_t>(name.segment)) segment.cut.begin += extent;
      if (i == static_cast<size_t>(name.segment)) segment.cut.length = extent;
      segment.cut.period += extent;
    }
    for (const CheckpointName& other : type_.tensors) {
      if (other.role != name.role) continue;
      segment.taken += ExtentOf(other.segments[static_cast<size_t>(other.segment)], config_);
    }
    return segment;
  }

  // Adds the rows of one stored tensor; `shape` is what all segments of it together make.
  absl::Status AddPart(const CheckpointName& name, const std::vector<int64_t>& shape,
                       const std::string& stored_name, TensorRecipe* recipe) {
    const bool packed = checkpoint_.Find(stored_name) == nullptr &&
                        checkpoint_.Find(stored_name + "_blocks") != nullptr;
    StoredForm form = name.form;
    if (packed && form == StoredForm::kTransposed) form = StoredForm::kRows;
    Part part;
    part.n_rows = Product(shape) / recipe->cols;
    part.stored.cols = recipe->cols;
    part.stored.stored_as = name.stored_as;
    // What is cut: rows, elements, the columns of each matrix, or all rows that become columns.
    int64_t n_lines = part.n_rows;
    std::vector<int64_t> wanted = shape;
    size_t axis = shape.size() - (shape.size() == 1 || form == StoredForm::kElements ? 1 : 2);
    if (form == StoredForm::kTransposed || form == StoredForm::kTransposedRows) {
      recipe->transposed_rows = shape.at(shape.size() - 2);
      recipe->cut_before_transposing = form == StoredForm::kTransposedRows;
      std::swap(wanted.at(wanted.size() - 2), wanted.back());
      axis = wanted.size() - (recipe->cut_before_transposing ? 2 : 1);
      n_lines = recipe->cut_before_transposing ? Product(shape) / recipe->transposed_rows
                                               : recipe->transposed_rows;
    }
    part.cut = {.period = n_lines, .begin = 0, .length = n_lines};
    if (name.segments.front() != Extent::kNone) {
      const Segment segment = SegmentOf(name);
      if (segment.taken < 1 || wanted.at(axis) % segment.taken != 0) {
        return Refuse(stored_name,
                      absl::StrCat("cannot be cut: ", wanted.at(axis), " rows are no multiple of ",
                                   segment.taken, "; use another model"));
      }
      part.cut = segment.cut;
      if (segment.cut.length != segment.taken) {
        part.n_rows = part.n_rows / segment.taken * segment.cut.length;
      }
      wanted.at(axis) = wanted.at(axis) / segment.taken * segment.cut.period;
    }
    if (recipe->transposed_rows > 0) part.stored.cols = wanted.back();
    SHOAL_RETURN_IF_ERROR(packed ? FindPacked(stored_name, wanted, &part.stored)
                                 : FindStored(stored_name, wanted, &part.stored));
    if (!recipe->parts.empty()) {
      part.first_row = recipe->parts.back().first_row + recipe->parts.back().n_rows;
    }
    recipe->parts.push_back(part);
    return absl::OkStatus();
  }

  absl::Status FindStored(const std::string& name, const std::vector<int64_t>& shape,
                          StoredTensor* stored) {
    stored->source = Use(name);
    if (stored->source == nullptr) {
      return Refuse(name, absl::StrCat("is missing; model_type ", std::string(type_.model_type),
                                       " needs it: fetch the model again"));
    }
    SHOAL_RETURN_IF_ERROR(CheckShape(*stored->source, shape));
    const SafetensorsType type = stored->source->info->type;
    if (type == SafetensorsType::kF8E4M3) return FindScales(name, shape, stored);
    if (SameFormat(type)) return absl::OkStatus();
    return Refuse(name, absl::StrCat("has type ", std::string(SafetensorsTypeName(type)),
                                     ", which is not read; use a model in BF16, F16, F32, or "
                                     "F8_E4M3 with scales for blocks of 128 x 128"));
  }

  // Files differ in dimensions of one, and in whether a stack's rows are counted through.
  absl::Status CheckShape(const Checkpoint::Tensor& tensor,
                          const std::vector<int64_t>& shape) const {
    const std::vector<int64_t>& given = tensor.info->shape;
    const bool fits =
        !given.empty() && given.back() == shape.back() && Product(given) == Product(shape);
    if (fits) return absl::OkStatus();
    return Refuse(tensor.info->name, absl::StrCat("has shape [", absl::StrJoin(given, ", "),
                                                  "], not [", absl::StrJoin(shape, ", "),
                                                  "] as config.json says; fetch the model again"));
  }

  absl::Status FindScales(const std::string& name, const std::vector<int64_t>& shape,
                          StoredTensor* stored) {
    const std::string scale_name = name + "_scale_inv";
    const Checkpoint::Tensor* scales = Use(scale_name);
    if (scales == nullptr) {
      return Refuse(scale_name,
                    "is missing; F8_E4M3 is read with one F32 scale for each block of "
                    "128 x 128: use a model in that form, or in BF16");
    }
    const std::vector<int64_t> wanted = {CeilDiv(Product(shape) / shape.back(), kScaleBlock),
                                         CeilDiv(shape.back(), kScaleBlock)};
    if (scales->info->type != SafetensorsType::kF32 || scales->info->shape != wanted) {
      return Refuse(scale_name,
                    absl::StrCat("is ", std::string(SafetensorsTypeName(scales->info->type)), " [",
                                 absl::StrJoin(scales->info->shape, ", "), "], not F32 [",
                                 absl::StrJoin(wanted, ", "), "]; use another model"));
    }
    stored->scales = scales;
    return absl::OkStatus();
  }

  // MXFP4: bytes of two elements in blocks of 16, and a scale for each block.
  absl::Status FindPacked(const std::string& name, std::vector<int64_t> shape,
                          StoredTensor* stored) {
    stored->source = Use(name + "_blocks");
    stored->scales = Use(name + "_scales");
    if (stored->scales == nullptr) {
      return Refuse(name + "_scales",
                    "is missing; MXFP4 is read with one for each block of 32: "
                    "fetch the model again");
    }
    if (shape.back() % 32 != 0) {
      return Refuse(name + "_blocks", absl::StrCat("has rows of ", shape.back(),
                                                   ", no multiple of 32; use another model"));
    }
    shape.back() /= 32;
    SHOAL_RETURN_IF_ERROR(CheckShape(*stored->scales, shape));
    shape.push_back(16);
    SHOAL_RETURN_IF_ERROR(CheckShape(*stored->source, shape));
    for (const Checkpoint::Tensor* tensor : {stored->source, stored->scales}) {
      if (tensor->info->type == SafetensorsType::kU8) continue;
      return Refuse(tensor->info->name,
                    absl::StrCat("has type ", std::string(SafetensorsTypeName(tensor->info->type)),
                                 ", not U8 as MXFP4 is stored; use another model"));
    }
    return absl::OkStatus();
  }

  // A stack has one format: that of its parts.
  absl::StatusOr<DType> FormatOf(const TensorSpec& spec, const TensorRecipe& recipe) const {
    const SafetensorsTensor& first = *recipe.parts.front().stored.source->info;
    bool exact = true;
    for (const Part& part : recipe.parts) {
      const SafetensorsTensor& info = *part.stored.source->info;
      if (info.type != first.type) {
        return Refuse(
            info.name,
            absl::StrCat("has type ", std::string(SafetensorsTypeName(info.type)), ", but ",
                         Quoted(first.name), " has ", std::string(SafetensorsTypeName(first.type)),
                         "; use a model whose experts are alike"));
      }
      if (info.type != SafetensorsType::kF8E4M3) continue;
      SHOAL_ASSIGN_OR_RETURN(const bool scales_exact,
                             AreScalesExact(checkpoint_, *part.stored.scales));
      exact = exact && scales_exact;
    }
    if (first.type == SafetensorsType::kU8) return DType::kMXFP4;
    if (spec.f32_only) return DType::kF32;
    if (const auto same = SameFormat(first.type)) return *same;
    return exact ? DType::kBF16 : DType::kF32;
  }

  // Layers behind the last one predict tokens after the next; nothing here is made of them.
  bool IsOfMoreLayers(std::string_view name) const {
    std::string layers = "model.layers.";
    if (part_names_) layers = NameInWhole(layers, *part_names_);
    if (!name.starts_with(layers)) return false;
    name.remove_prefix(layers.size());
    int layer = 0;
    return absl::SimpleAtoi(std::string(name.substr(0, name.find('.'))), &layer) &&
           layer >= config_.n_layers && layer - config_.n_layers < read_.n_more_layers;
  }

  absl::Status CheckAllUsed() {
    for (size_t i = 0; i < used_.size(); ++i) {
      const std::string& name = checkpoint_.tensors()[i].info->name;
      // Old exports store RoPE's frequencies, which follow from config.json.
      if (used_[i] || name.ends_with("rotary_emb.inv_freq") || IsOfMoreLayers(name)) continue;
      if (!type_.unused_tensors.empty() && name.starts_with(type_.unused_tensors)) continue;
      if (part_names_ && IsOfOtherPart(name)) {
        ++out_.n_of_other_parts;
        continue;
      }
      return Refuse(name, absl::StrCat("is no part of model_type ", std::string(type_.model_type),
                                       " with ", config_.n_layers, " layers and ",
                                       config_.n_experts, " experts; use another model"));
    }
    return absl::OkStatus();
  }

  CheckpointRecipes Sorted() {
    std::vector<size_t> order(out_.tensors.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(),
              [this](size_t a, size_t b) { return out_.tensors[a].name < out_.tensors[b].name; });
    CheckpointRecipes sorted{.n_of_other_parts = out_.n_of_other_parts};
    for (const size_t i : order) {
      sorted.tensors.push_back(std::move(out_.tensors[i]));
      sorted.recipes.push_back(std::move(out_.recipes[i]));
    }
    return sorted;
  }

  const Checkpoint& checkpoint_;
  const CheckpointConfig& read_;
  const CheckpointType& type_;
  const ModelConfig& config_;
  const Family& family_;
  std::vector<bool> used_;
  std::optional<PartNames> part_names_;  // Where the folder has other parts too.
  CheckpointRecipes out_;
};

}  // namespace

absl::StatusOr<CheckpointRecipes> MakeCheckpointRecipes(const Checkpoint& checkpoint,
                                                        const CheckpointConfig& config) {
  return RecipeMaker(checkpoint, config).Make();
}

}  // namespace shoal
