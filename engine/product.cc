#include "engine/product.h"

#include <algorithm>

namespace shoal {
namespace {

int64_t Blocks(int64_t cols) { return (cols + kActivationBlock - 1) / kActivationBlock; }

}  // namespace

ProductInput::ProductInput(int max_rows, int64_t max_cols)
    : q8_(max_rows, Blocks(max_cols) * kActivationBlock), scales_(max_rows, Blocks(max_cols)) {}

void ProductInput::Set(const KernelTable& kernels, ThreadPool* pool, MatView<const float> x,
                       bool round) {
  x_ = x;
  rounded_ = round;
  if (!round) return;
  pool->ParallelFor(x.rows, 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      kernels.quantize_row(x.row(t), x.cols, q8_.row(t), scales_.row(t));
    }
  });
}

RowsView ProductInput::RowsFor(const PackedMatrix& w) const {
  RowsView rows{.n_rows = x_.rows, .cols = x_.cols};
  if (rounded_ && Traits(w.dtype()).quantized) {
    rows.q8 = q8_.data();
    rows.q8_stride = q8_.cols();
    rows.scales = scales_.data();
    rows.scale_stride = scales_.cols();
  } else {
    rows.f32 = x_.data;
    rows.f32_stride = x_.stride;
  }
  return rows;
}

void MatMul(const KernelTable& kernels, ThreadPool* pool, const ProductInput& input,
            std::initializer_list<Product> products) {
  int64_t n_outputs = 0;
  for (const Product& product : products) n_outputs += product.w->rows();
  const int64_t per_task = OutputsPerTask(input.n_rows(), n_outputs, pool->n_threads());
  const auto n_tasks = [&](const Product& product) {
    return (product.w->rows() + per_task - 1) / per_task;
  };
  int64_t n = 0;
  for (const Product& product : products) n += n_tasks(product);
  pool->ParallelFor(n, 1, [&](int64_t task, int64_t, int) {
    const Product* product = products.begin();
    while (task >= n_tasks(*product)) task -= n_tasks(*product++);
    const int64_t begin = task * per_task;
    const int64_t end = std::min(begin + per_task, product->w->rows());
    kernels.matmul(product->w->view(), input.RowsFor(*product->w), begin, end, product->y.data,
                   product->y.stride);
  });
}

}  // namespace shoal
