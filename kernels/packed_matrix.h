#pragma once

#include <cstddef>

#include "base/aligned_buffer.h"
#include "kernels/kernel_table.h"

namespace shoal {

// Owns one weight matrix [rows, cols] in the order that one kernel table reads. Nothing else holds
// these weights: they are packed piece by piece as they are read.
class PackedMatrix {
 public:
  PackedMatrix() = default;
  PackedMatrix(const KernelTable& kernels, DType dtype, int64_t rows, int64_t cols)
      : kernels_(&kernels),
        dtype_(dtype),
        rows_(rows),
        cols_(cols),
        buffer_(static_cast<size_t>(kernels.packed_bytes(dtype, rows, cols))) {}

  // Packs rows [first_row, first_row + n_rows), of which src is the first, in file order; first_row
  // is a multiple of kPackRows, and n_rows too unless it ends the matrix. Different row groups may
  // be packed by different threads.
  void PackRows(int64_t first_row, int64_t n_rows, const std::byte* src) {
    kernels_->pack_rows(dtype_, rows_, cols_, first_row, n_rows, src, buffer_.data());
  }

  bool empty() const { return rows_ == 0; }
  DType dtype() const { return dtype_; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  size_t n_bytes() const { return buffer_.size(); }
  PackedView view() const { return {dtype_, rows_, cols_, buffer_.data()}; }

 private:
  const KernelTable* kernels_ = nullptr;
  DType dtype_ = DType::kF32;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
  AlignedBuffer buffer_;
};

}  // namespace shoal
