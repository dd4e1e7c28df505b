#include "engine/expert_weights.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "engine/matrix_loader.h"
#include "model/families/family.h"

namespace shoal {
namespace {

// In the order of ExpertRoles.
constexpr std::array kMatrices = {&ExpertWeights::w_gate, &ExpertWeights::w_up,
                                  &ExpertWeights::w_down};

// In the order of kExpertBiasRoles.
constexpr std::array kBiases = {&ExpertWeights::gate_bias, &ExpertWeights::up_bias,
                                &ExpertWeights::down_bias};

const Family& FamilyOf(const ModelConfig& config) {
  const Family* family = FindFamily(config.architecture);
  SHOAL_CHECK(family != nullptr);  // ValidateConfig refuses others.
  return *family;
}

bool HasBiases(const ModelConfig& config, int layer, int expert) {
  return !config.IsDense(layer) && expert < config.n_experts &&
         FindSpec(FamilyOf(config), kExpertBiasRoles[0]) != nullptr;
}

// The tensor of a shard that `role` asks for, with the shape that the model gives it.
absl::StatusOr<const ShardTensor*> FindTensor(const ModelConfig& config, const ShardInfo& shard,
                                              TensorRole role) {
  const TensorSpec* spec = FindSpec(FamilyOf(config), role);
  if (spec == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("shard of layer ", shard.layer, " expert ",
                                                   shard.expert, ": architecture ",
                                                   config.architecture, " has no such expert"));
  }
  const std::string name = TensorName(*spec, shard.layer);
  const auto found = std::find_if(shard.tensors.begin(), shard.tensors.end(),
                                  [&](const ShardTensor& t) { return t.name == name; });
  const auto bad = [&](const char* what) {
    return absl::InvalidArgumentError(absl::StrCat("shard of layer ", shard.layer, " expert ",
                                                   shard.expert, ": tensor ", name, " ", what));
  };
  if (found == shard.tensors.end()) return bad("is not in it");
  std::vector<int64_t> shape = TensorShape(*spec, config);
  if (IsExpertStack(*spec)) shape.erase(shape.begin());
  if (found->shape != shape) {
    return bad("has not the shape that the model's numbers give it");
  }
  return &*found;
}

// One tensor of a shard and where it goes: one of the two.
struct Part {
  const ShardTensor* tensor;
  PackedMatrix* matrix = nullptr;
  std::vector<float>* bias = nullptr;
};

absl::Status CheckPlace(const ShardInfo& shard, const ShardTensor& tensor, uint64_t free_from) {
  const int64_t rows = tensor.shape.size() == 2 ? tensor.shape[0] : 1;
  const auto n_bytes = static_cast<uint64_t>(rows * RowBytes(tensor.dtype, tensor.shape.back()));
  if (tensor.n_bytes == n_bytes && tensor.offset >= free_from &&
      tensor.offset <= shard.file_bytes && n_bytes <= shard.file_bytes - tensor.offset) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("shard of layer ", shard.layer, " expert ",
                                                 shard.expert, ": tensor ", tensor.name,
                                                 " does not lie inside its file"));
}

using ReadFunction = absl::FunctionRef<absl::Status(std::span<std::byte>)>;

// Packs piece after piece while the caches hold it.
absl::Status ReadMatrix(ReadFunction read, const Part& part, std::vector<std::byte>* scratch) {
  const int64_t row_bytes = RowBytes(part.tensor->dtype, part.matrix->cols());
  const int64_t n_rows = RowsPerPiece(row_bytes);
  scratch->resize(static_cast<size_t>(std::max(kLoadPieceBytes, n_rows * row_bytes)));
  for (int64_t row = 0; row < part.matrix->rows(); row += n_rows) {
    const int64_t n = std::min(n_rows, part.matrix->rows() - row);
    SHOAL_RETURN_IF_ERROR(read({scratch->data(), static_cast<size_t>(n * row_bytes)}));
    part.matrix->PackRows(row, n, scratch->data());
  }
  return absl::OkStatus();
}

absl::Status ReadBias(ReadFunction read, const Part& part) {
  if (part.tensor->dtype != DType::kF32) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", part.tensor->name, ": must be a vector of F32"));
  }
  part.bias->resize(static_cast<size_t>(part.tensor->shape[0]));
  return read(std::as_writable_bytes(std::span(*part.bias)));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ExpertWeights>> ReadExpert(const ModelConfig& config,
                                                                const WeightSource& source,
                                                                int layer, int expert,
                                                                const KernelTable& kernels) {
  MatrixLoader loader(source, kernels, /*n_threads=*/1);
  auto weights = std::make_shared<ExpertWeights>();
  const Family& family = FamilyOf(config);
  const auto roles = ExpertRoles(config, layer, expert);
  for (size_t i = 0; i < roles.size(); ++i) {
    const TensorSpec* spec = FindSpec(family, roles[i]);
    if (spec == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("architecture ", config.architecture,
                                                     " has no expert ", expert, " in layer ", layer,
                                                     "; import the model again"));
    }
    const std::string name = TensorName(*spec, layer);
    auto& matrix = (*weights).*kMatrices[i];
    if (IsExpertStack(*spec)) {
      SHOAL_ASSIGN_OR_RETURN(matrix, loader.LoadExpert(name, expert, 0));
    } else {
      SHOAL_ASSIGN_OR_RETURN(matrix, loader.LoadMatrix(name, 0));
    }
  }
  if (!HasBiases(config, layer, expert)) return weights;
  for (size_t i = 0; i < kBiases.size(); ++i) {
    SHOAL_ASSIGN_OR_RETURN(
        (*weights).*kBiases[i],
        loader.LoadExpertVector(TensorName(family, kExpertBiasRoles[i], layer), expert));
  }
  return weights;
}

absl::StatusOr<std::shared_ptr<const ExpertWeights>> PackExpertShard(
    const ModelConfig& config, const ShardInfo& shard,
    absl::FunctionRef<absl::Status(std::span<std::byte>)> read, const KernelTable& kernels) {
  auto weights = std::make_shared<ExpertWeights>();
  std::vector<Part> in_file_order;
  const auto roles = ExpertRoles(config, shard.layer, shard.expert);
  for (size_t i = 0; i < roles.size(); ++i) {
    SHOAL_ASSIGN_OR_RETURN(const ShardTensor* tensor, FindTensor(config, shard, roles[i]));
    PackedMatrix& matrix = (*weights).*kMatrices[i];
    matrix = PackedMatrix(kernels, tensor->dtype, tensor->shape[0], tensor->shape[1]);
    in_file_order.push_back({.tensor = tensor, .matrix = &matrix});
  }
  if (HasBiases(config, shard.layer, shard.expert)) {
    for (size_t i = 0; i < kBiases.size(); ++i) {
      SHOAL_ASSIGN_OR_RETURN(const ShardTensor* tensor,
                             FindTensor(config, shard, kExpertBiasRoles[i]));
      in_file_order.push_back({.tensor = tensor, .bias = &((*weights).*kBiases[i])});
    }
  }
  std::ranges::sort(in_file_order, {}, [](const Part& part) { return part.tensor->offset; });
  std::vector<std::byte> scratch(kLoadPieceBytes);
  uint64_t offset = 0;
  for (const Part& part : in_file_order) {
    SHOAL_RETURN_IF_ERROR(CheckPlace(shard, *part.tensor, offset));
    for (uint64_t n = 0; offset < part.tensor->offset; offset += n) {
      n = std::min<uint64_t>(kLoadPieceBytes, part.tensor->offset - offset);
      SHOAL_RETURN_IF_ERROR(read({scratch.data(), n}));
    }
    SHOAL_RETURN_IF_ERROR(part.matrix != nullptr ? ReadMatrix(read, part, &scratch)
                                                 : ReadBias(read, part));
    offset += part.tensor->n_bytes;
  }
  return weights;
}

uint64_t PackedExpertBytes(const ShardInfo& shard, const KernelTable& kernels) {
  uint64_t n_bytes = 0;
  for (const ShardTensor& tensor : shard.tensors) {
    if (tensor.shape.size() != 2) {
      n_bytes += tensor.n_bytes;
      continue;
    }
    n_bytes +=
        static_cast<uint64_t>(kernels.packed_bytes(tensor.dtype, tensor.shape[0], tensor.shape[1]));
  }
  return n_bytes;
}

}  // namespace shoal
