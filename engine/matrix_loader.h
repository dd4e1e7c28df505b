#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/packed_matrix.h"
#include "model/families/family.h"
#include "model/weight_source.h"

namespace shoal {

// Weights are read in pieces that stay in a core's own cache until they are packed.
inline constexpr int64_t kLoadPieceBytes = int64_t{256} << 10;

// Rows of a piece, in whole groups.
inline int64_t RowsPerPiece(int64_t row_bytes) {
  return std::max<int64_t>(kLoadPieceBytes / row_bytes / kPackRows, 1) * kPackRows;
}

// Reads matrices from a source into the order that a kernel table reads, piece by piece, so that
// memory never holds a matrix twice. Thread-safe for distinct thread_idx.
class MatrixLoader {
 public:
  // Both outlive this.
  MatrixLoader(const WeightSource& source, const KernelTable& kernels, int n_threads)
      : source_(source), kernels_(kernels), scratch_(n_threads) {}

  // A whole matrix [rows, cols]; a vector is one of one row.
  absl::StatusOr<PackedMatrix> LoadMatrix(const std::string& name, int thread_idx);
  // Matrix `expert` of a stack [n_experts, rows, cols].
  absl::StatusOr<PackedMatrix> LoadExpert(const std::string& name, int expert, int thread_idx);
  // Rows [first_row, first_row + n_rows) of a matrix, or of a stack's matrices one behind the
  // other;
  absl::StatusOr<PackedMatrix> LoadRows(const std::string& name, int64_t first_row, int64_t n_rows,
                                        int thread_idx);
  // the same transposed, [cols, n_rows]: what is stored in blocks becomes F32.
  absl::StatusOr<PackedMatrix> LoadTransposed(const std::string& name, int64_t first_row,
                                              int64_t n_rows);
  // True if the source has such a tensor.
  bool Has(const std::string& name) const { return source_.Find(name) != nullptr; }
  // All numbers of a tensor of F32, a vector or a small matrix by rows.
  absl::StatusOr<std::vector<float>> LoadVector(const std::string& name);
  // Vector `expert` of a stack [n_experts, n] of F32.
  absl::StatusOr<std::vector<float>> LoadExpertVector(const std::string& name, int expert);
  // The vector of that role; empty where the family or this model has none. `layer` counts for
  // per-layer tensors only.
  absl::StatusOr<std::vector<float>> LoadRole(const ModelConfig& config, const Family& family,
                                              TensorRole role, int layer);

 private:
  absl::StatusOr<const TensorInfo*> Find(const std::string& name) const;
  absl::StatusOr<const TensorInfo*> FindRows(const std::string& name, int64_t first_row,
                                             int64_t n_rows) const;
  absl::StatusOr<PackedMatrix> Load(const TensorInfo& tensor, DType dtype, uint64_t offset,
                                    int64_t rows, int64_t cols, std::vector<std::byte>* scratch);

  const WeightSource& source_;
  const KernelTable& kernels_;
  std::vector<std::vector<std::byte>> scratch_;
};

}  // namespace shoal
