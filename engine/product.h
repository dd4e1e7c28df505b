#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/packed_matrix.h"
#include "model/mat.h"

namespace shoal {

// Rows that several matrices multiply: rounded to int8 blocks once, if any of them is quantized.
class ProductInput {
 public:
  // `max_cols` is the widest row that Set will see.
  ProductInput(int max_rows, int64_t max_cols);

  // x: [n_tokens, cols] f32; borrowed until the next Set. `round`: whether int8 blocks are needed.
  void Set(const KernelTable& kernels, ThreadPool* pool, MatView<const float> x, bool round);

  int64_t n_rows() const { return x_.rows; }
  // The rows as products with `w` read them.
  RowsView RowsFor(const PackedMatrix& w) const;

 private:
  MatView<const float> x_;
  bool rounded_ = false;
  Mat<int8_t> q8_;
  Mat<float> scales_;
};

// Outputs of one task, of n_outputs in all over n_rows rows: whole groups of packed rows and whole
// activation blocks. Arranging the rows costs a task as much as some of its products, so many rows
// ask for many outputs, as long as every thread gets some tasks.
constexpr int64_t OutputsPerTask(int64_t n_rows, int64_t n_outputs, int n_threads) {
  if (n_outputs <= 64 * int64_t{n_threads}) return 32;  // A router's, say.
  return n_rows >= 16 && n_outputs >= 256 * 4 * int64_t{n_threads} ? 256 : 64;
}
static_assert(32 % kPackRows == 0 && 32 % kActivationBlock == 0);

// One product of a group: y[t] = w x[t]; y: [n_tokens, w rows] f32.
struct Product {
  const PackedMatrix* w;
  MatView<float> y;
};

// Computes all products over the same input at once, split over the pool by outputs.
void MatMul(const KernelTable& kernels, ThreadPool* pool, const ProductInput& input,
            std::initializer_list<Product> products);

}  // namespace shoal
