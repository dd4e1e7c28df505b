#include "kernels/f32x16_neon.h"
#include "kernels/matmul.h"
#include "kernels/matmul_v128.h"
// After what it is written in.
#include "kernels/matmul_blocks.h"

namespace shoal::neon_dotprod {
namespace {

struct NeonDotprod : V128 {
  template <int kLargest, int kFirst, int kCount, int kTile>
  static void Dot(const Bytes* w, const int8_t* const* q, Ints* sums) {
    DotByRow<kFirst, kCount, kTile>(w, q, sums);
  }
};

}  // namespace

void Matmul(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end, float* y,
            int64_t y_stride) {
  MultiplyAny<NeonDotprod>(w, x, row_begin, row_end, y, y_stride);
}

}  // namespace shoal::neon_dotprod
