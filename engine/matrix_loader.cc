#include "engine/matrix_loader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace shoal {
absl::StatusOr<const TensorInfo*> MatrixLoader::Find(const std::string& name) const {
  const TensorInfo* tensor = source_.Find(name);
  if (tensor == nullptr) return absl::NotFoundError(absl::StrCat("no tensor ", name));
  return tensor;
}

absl::StatusOr<PackedMatrix> MatrixLoader::LoadMatrix(const std::string& name, int thread_idx) {
  SHOAL_ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(name));
  if (tensor->shape.empty() || tensor->shape.size() > 2) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": has ", tensor->shape.size(), " dimensions, must have 1 or 2"));
  }
  const int64_t rows = tensor->shape.size() == 2 ? tensor->shape[0] : 1;
  return Load(*tensor, tensor->dtype, 0, rows, tensor->shape.back(), &scratch_[thread_idx]);
}

absl::StatusOr<PackedMatrix> MatrixLoader::LoadExpert(const std::string& name, int expert,
                                                      int thread_idx) {
  SHOAL_ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(name));
  if (tensor->shape.size() != 3 || expert >= tensor->shape[0]) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": has no expert ", expert));
  }
  const int64_t rows = tensor->shape[1];
  const int64_t cols = tensor->shape[2];
  const StackSlice slice = source_.SliceOf(*tensor, expert);
  return Load(*tensor, slice.dtype, slice.offset, rows, cols, &scratch_[thread_idx]);
}

absl::StatusOr<const TensorInfo*> MatrixLoader::FindRows(const std::string& name, int64_t first_row,
                                                         int64_t n_rows) const {
  SHOAL_ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(name));
  const uint64_t end =
      static_cast<uint64_t>((first_row + n_rows) * RowBytes(tensor->dtype, tensor->shape.back()));
  if (first_row >= 0 && n_rows > 0 && end <= tensor->n_bytes) return tensor;
  return absl::InvalidArgumentError(absl::StrCat(name, ": has no rows ", first_row, " to ",
                                                 first_row + n_rows - 1, " of length ",
                                                 tensor->shape.back()));
}

absl::StatusOr<PackedMatrix> MatrixLoader::LoadRows(const std::string& name, int64_t first_row,
                                                    int64_t n_rows, int thread_idx) {
  SHOAL_ASSIGN_OR_RETURN(const TensorInfo* tensor, FindRows(name, first_row, n_rows));
  const int64_t cols = tensor->shape.back();
  const auto offset = static_cast<uint64_t>(first_row * RowBytes(tensor->dtype, cols));
  return Load(*tensor, tensor->dtype, offset, n_rows, cols, &scratch_[thread_idx]);
}

namespace {

// to: [cols, rows] of elements of that size.
void Transpose(const std::byte* from, int64_t rows, int64_t cols, int64_t elem_bytes,
               std::byte* to) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      std::memcpy(to + (c * rows + r) * elem_bytes, from + (r * cols + c) * elem_bytes,
                  static_cast<size_t>(elem_bytes));
    }
  }
}

}  // namespace

absl::StatusOr<PackedMatrix> MatrixLoader::LoadTransposed(const std::string& name,
                                                          int64_t first_row, int64_t n_rows) {
  SHOAL_ASSIGN_OR_RETURN(const TensorInfo* tensor, FindRows(name, first_row, n_rows));
  const int64_t cols = tensor->shape.back();
  const int64_t row_bytes = RowBytes(tensor->dtype, cols);
  std::vector<std::byte> stored(static_cast<size_t>(n_rows * row_bytes));
  SHOAL_RETURN_IF_ERROR(
      source_.Read(*tensor, static_cast<uint64_t>(first_row * row_bytes), stored));
  DType dtype = tensor->dtype;
  if (Traits(dtype).block_elems > 1) {
    std::vector<std::byte> floats(static_cast<size_t>(n_rows * cols) * sizeof(float));
    // File order, which is the scalar kernels' own.
    const KernelTable& scalar = *AvailableKernels().front();
    for (int64_t r = 0; r < n_rows; ++r) {
      scalar.unpack_row({dtype, n_rows, cols, stored.data()}, r,
                        reinterpret_cast<float*>(floats.data()) + r * cols);
    }
    stored = std::move(floats);
    dtype = DType::kF32;
  }
  std::vector<std::byte> turned(stored.size());
  Transpose(stored.data(), n_rows, cols, Traits(dtype).block_bytes, turned.data());
  PackedMatrix matrix(kernels_, dtype, cols, n_rows);
  matrix.PackRows(0, cols, turned.data());
  return matrix;
}

absl::StatusOr<std::vector<float>> MatrixLoader::LoadVector(const std::string& name) {
  SHOAL_ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(name));
  if (tensor->dtype != DType::kF32) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": must be F32"));
  }
  std::vector<float> values(tensor->n_bytes / sizeof(float));
  SHOAL_RETURN_IF_ERROR(source_.Read(*tensor, 0, std::as_writable_bytes(std::span(values))));
  return values;
}

absl::StatusOr<std::vector<float>> MatrixLoader::LoadExpertVector(const std::string& name,
                                                                  int expert) {
  SHOAL_ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(name));
  if (tensor->dtype != DType::kF32 || tensor->shape.size() != 2 || expert >= tensor->shape[0]) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": has no vector of expert ", expert));
  }
  std::vector<float> values(tensor->shape[1]);
  SHOAL_RETURN_IF_ERROR(source_.Read(*tensor, expert * values.size() * sizeof(float),
                                     std::as_writable_bytes(std::span(values))));
  return values;
}

absl::StatusOr<std::vector<float>> MatrixLoader::LoadRole(const ModelConfig& config,
                                                          const Family& family, TensorRole role,
                                                          int layer) {
  const TensorSpec* spec = FindSpec(family, role);
  if (spec == nullptr || !Applies(*spec, config, layer)) return std::vector<float>();
  const std::string name = TensorName(*spec, layer);
  if (spec->optional && source_.Find(name) == nullptr) return std::vector<float>();
  return LoadVector(name);
}

absl::StatusOr<PackedMatrix> MatrixLoader::Load(const TensorInfo& tensor, DType dtype,
                                                uint64_t offset, int64_t rows, int64_t cols,
                                                std::vector<std::byte>* scratch) {
  PackedMatrix matrix(kernels_, dtype, rows, cols);
  const int64_t row_bytes = RowBytes(dtype, cols);
  const int64_t rows_per_piece = RowsPerPiece(row_bytes);
  scratch->resize(std::min(rows, rows_per_piece) * row_bytes);
  for (int64_t row = 0; row < rows; row += rows_per_piece) {
    const int64_t n_rows = std::min(rows_per_piece, rows - row);
    const std::span<std::byte> piece(scratch->data(), n_rows * row_bytes);
    SHOAL_RETURN_IF_ERROR(source_.Read(tensor, offset + row * row_bytes, piece));
    matrix.PackRows(row, n_rows, piece.data());
  }
  return matrix;
}

}  // namespace shoal
