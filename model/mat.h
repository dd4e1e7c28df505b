#pragma once

#include <cstdint>
#include <span>

#include "base/aligned_buffer.h"
#include "base/check.h"

namespace shoal {

// Borrows a row-major matrix [rows, cols]; row r begins at data + r * stride (in elements).
template <typename T>
struct MatView {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  MatView() = default;
  MatView(T* data_, int64_t rows_, int64_t cols_, int64_t stride_)
      : data(data_), rows(rows_), cols(cols_), stride(stride_) {}
  MatView(T* data_, int64_t rows_, int64_t cols_) : MatView(data_, rows_, cols_, cols_) {}
  // A view of mutable elements is one of constant elements.
  operator MatView<const T>() const {  // NOLINT(google-explicit-constructor)
    return {data, rows, cols, stride};
  }

  T* row(int64_t r) const {
    SHOAL_DCHECK(r >= 0 && r < rows);
    return data + r * stride;
  }
  std::span<T> row_span(int64_t r) const { return {row(r), static_cast<size_t>(cols)}; }
  // Rows [begin, begin + n).
  MatView Rows(int64_t begin, int64_t n) const {
    SHOAL_DCHECK(begin >= 0 && n >= 0 && begin + n <= rows);
    return {data + begin * stride, n, cols, stride};
  }
};

// Owns a row-major matrix [rows, cols], 64-byte aligned, zeroed, without gaps between rows.
template <typename T>
class Mat {
 public:
  Mat() = default;
  Mat(int64_t rows, int64_t cols)
      : buffer_(static_cast<size_t>(rows * cols) * sizeof(T)), rows_(rows), cols_(cols) {}

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  T* data() { return reinterpret_cast<T*>(buffer_.data()); }
  const T* data() const { return reinterpret_cast<const T*>(buffer_.data()); }
  T* row(int64_t r) { return view().row(r); }
  const T* row(int64_t r) const { return view().row(r); }
  MatView<T> view() { return {data(), rows_, cols_}; }
  MatView<const T> view() const { return {data(), rows_, cols_}; }
  // The first `n` rows.
  MatView<T> Rows(int64_t n) { return view().Rows(0, n); }

 private:
  AlignedBuffer buffer_;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
};

}  // namespace shoal
