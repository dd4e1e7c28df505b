#include "kernels/f32x16_avx2.h"
#include "kernels/matmul.h"
#include "kernels/matmul_ymm.h"
// After what it is written in.
#include "kernels/matmul_blocks.h"

namespace shoal::avxvnni {

void Matmul(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end, float* y,
            int64_t y_stride) {
  MultiplyAny<AvxVnni>(w, x, row_begin, row_end, y, y_stride);
}

}  // namespace shoal::avxvnni
