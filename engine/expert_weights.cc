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

constexpr size_t kPieceBytes = size_t{256} << 10;  // Stay in a core's own cache.

const Family& FamilyOf(const ModelConfig& config) {
  const Family* family = FindFamily(config.architecture);
  SHOAL_CHECK(family != nullptr);  // ValidateConfig refuses others.
  return *family;
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
  return weights;
}

absl::StatusOr<std::shared_ptr<const ExpertWeights>> PackExpertShard(
    const ModelConfig& config, const ShardInfo& shard,
    absl::FunctionRef<absl::Status(std::span<std::byte>)> read, const KernelTable& kernels) {
  auto weights = std::make_shared<ExpertWeights>();
  std::vector<std::pair<const ShardTensor*, PackedMatrix*>> in_file_order;
  const auto roles = ExpertRoles(config, shard.layer, shard.expert);
  for (size_t i = 0; i < roles.size(); ++i) {
    SHOAL_ASSIGN_OR_RETURN(const ShardTensor* tensor, FindTensor(config, shard, roles[i]));
    PackedMatrix& matrix = (*weights).*kMatrices[i];
    matrix = PackedMatrix(kernels, tensor->dtype, tensor->shape[0], tensor->shape[1]);
    in_file_order.emplace_back(tensor, &matrix);
  }
  std::sort(in_file_order.begin(), in_file_order.end(),
            [](const auto& a, const auto& b) { return a.first->offset < b.first->offset; });
  std::vector<std::byte> scratch(kPieceBytes);
  uint64_t offset = 0;
  for (const auto& [tensor, matrix] : in_file_order) {
    const auto row_bytes = static_cast<uint64_t>(RowBytes(tensor->dtype, matrix->cols()));
    const uint64_t n_bytes = static_cast<uint64_t>(matrix->rows()) * row_bytes;
    if (tensor->n_bytes != n_bytes || tensor->offset < offset ||
        tensor->offset > shard.file_bytes || n_bytes > shard.file_bytes - tensor->offset) {
      return absl::InvalidArgumentError(absl::StrCat("shard of layer ", shard.layer, " expert ",
                                                     shard.expert, ": tensor ", tensor->name,
                                                     " does not lie inside its file"));
    }
    for (uint64_t n = 0; offset < tensor->offset; offset += n) {
      n = std::min<uint64_t>(kPieceBytes, tensor->offset - offset);
      SHOAL_RETURN_IF_ERROR(read({scratch.data(), n}));
    }
    const int64_t n_rows = std::max<int64_t>(
        static_cast<int64_t>(kPieceBytes / row_bytes) / kPackRows * kPackRows, kPackRows);
    scratch.resize(std::max<uint64_t>(kPieceBytes, static_cast<uint64_t>(n_rows) * row_bytes));
    for (int64_t row = 0; row < matrix->rows(); row += n_rows) {
      const int64_t n = std::min(n_rows, matrix->rows() - row);
      SHOAL_RETURN_IF_ERROR(read({scratch.data(), static_cast<uint64_t>(n) * row_bytes}));
      matrix->PackRows(row, n, scratch.data());
    }
    offset += n_bytes;
  }
  return weights;
}

uint64_t PackedExpertBytes(const ShardInfo& shard, const KernelTable& kernels) {
  uint64_t n_bytes = 0;
  for (const ShardTensor& tensor : shard.tensors) {
    if (tensor.shape.size() != 2) continue;
    n_bytes +=
        static_cast<uint64_t>(kernels.packed_bytes(tensor.dtype, tensor.shape[0], tensor.shape[1]));
  }
  return n_bytes;
}

}  // namespace shoal
