#include "cli/importance.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/import/gguf_reader.h"

namespace shoal {
namespace {

constexpr std::string_view kSums = ".in_sum2";
constexpr uint64_t kMaxBytes = uint64_t{1} << 30;  // Of sums together; real files have megabytes.

absl::Status Refuse(const std::string& path, std::string_view tensor, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": tensor ", Quoted(tensor), ": ",
                                                 std::string(what), "; make the file again"));
}

absl::StatusOr<std::vector<float>> ReadNumbers(const GgufReader& file, const TensorInfo& tensor) {
  if (tensor.dtype != DType::kF32) return Refuse(file.path(), tensor.name, "is not F32");
  std::vector<float> out(tensor.n_bytes / sizeof(float));
  SHOAL_RETURN_IF_ERROR(file.Read(tensor, 0, std::as_writable_bytes(std::span(out))));
  for (const float x : out) {
    if (!(x >= 0.0F && std::isfinite(x))) {
      return Refuse(file.path(), tensor.name, absl::StrCat("holds ", x, ", not a finite sum"));
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<Importance> Importance::Read(const std::string& path) {
  SHOAL_ASSIGN_OR_RETURN(const auto file, GgufReader::Open(path));
  const auto type = file->GetString("general.type");
  if (!type.ok() || *type != "imatrix") {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": general.type is not 'imatrix'; name a GGUF file of llama-imatrix"));
  }
  if (file->file_bytes() > kMaxBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", file->file_bytes(), " bytes, above the bound ", kMaxBytes));
  }
  Importance importance;
  for (const TensorInfo& sums : file->tensors()) {
    if (!sums.name.ends_with(kSums)) continue;
    const std::string name = sums.name.substr(0, sums.name.size() - kSums.size());
    const TensorInfo* counts = file->Find(name + ".counts");
    if (counts == nullptr) return Refuse(path, sums.name, "has no counts beside it");
    Matrices& matrices = importance.tensors_[name];
    SHOAL_ASSIGN_OR_RETURN(matrices.means, ReadNumbers(*file, sums));
    SHOAL_ASSIGN_OR_RETURN(const std::vector<float> n, ReadNumbers(*file, *counts));
    matrices.n_cols = sums.shape.back();
    if (n.size() * static_cast<size_t>(matrices.n_cols) != matrices.means.size()) {
      return Refuse(path, sums.name,
                    absl::StrCat("has ", n.size(), " counts beside it, for ",
                                 matrices.means.size() / matrices.n_cols, " matrices"));
    }
    for (size_t i = 0; i < matrices.means.size(); ++i) {
      const float count = n[i / static_cast<size_t>(matrices.n_cols)];
      if (count > 0.0F) matrices.means[i] /= count;
    }
    for (const float count : n) matrices.counted.push_back(count > 0.0F);
  }
  return importance;
}

absl::StatusOr<std::span<const float>> Importance::Of(std::string_view tensor, int64_t matrix,
                                                      int64_t n_cols) const {
  const auto found = tensors_.find(tensor);
  if (found == tensors_.end()) return std::span<const float>();
  const Matrices& all = found->second;
  if (all.n_cols != n_cols || matrix >= static_cast<int64_t>(all.counted.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat("imatrix of ", Quoted(tensor), ": ", all.counted.size(), " matrices of ",
                     all.n_cols, " columns, but the model's matrix ", matrix, " has ", n_cols,
                     "; name the imatrix of this model"));
  }
  if (!all.counted[static_cast<size_t>(matrix)]) return std::span<const float>();
  return std::span(all.means).subspan(static_cast<size_t>(matrix * n_cols),
                                      static_cast<size_t>(n_cols));
}

}  // namespace shoal
