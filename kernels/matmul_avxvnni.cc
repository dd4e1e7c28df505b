#include "kernels/f32x16_avx2.h"
#include "kernels/matmul.h"
#include "kernels/matmul_ymm.h"
// After what it is written in.
#include "kernels/matmul_blocks.h"

namespace shoal::avxvnni {
namespace {

struct AvxVnni : Ymm {
  template <int kLargest, int kFirst, int kCount, int kTile>
  static void Dot(const Bytes* w, const int8_t* const* q, Ints* sums) {
    for (int t = 0; t < kTile; ++t) {
      for (int k = kFirst; k < kFirst + kCount; ++k) {
        sums[t] = _mm256_dpbusd_avx_epi32(sums[t], w[k], Word(q[t], k));
      }
    }
  }
};

}  // namespace

void Matmul(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end, float* y,
            int64_t y_stride) {
  MultiplyAny<AvxVnni>(w, x, row_begin, row_end, y, y_stride);
}

}  // namespace shoal::avxvnni
