#include "kernels/f32x16_neon.h"
#include "kernels/matmul.h"
#include "kernels/matmul_v128.h"
// After what it is written in.
#include "kernels/matmul_blocks.h"

namespace shoal::neon {
namespace {

// Products of four words meet in 16 bits if none is above 63 * 128: 32,256. One of -128 * -128
// fits, two do not.
struct Neon : V128 {
  template <int kLargest, int kFirst, int kCount, int kTile>
  static void Dot(const Bytes* w, const int8_t* const* q, Ints* sums) {
    for (int t = 0; t < kTile; ++t) {
      Ints low = vdupq_n_s32(0);  // Two numbers for each of rows 0 and 1.
      Ints high = low;            // Of rows 2 and 3.
      for (int k = kFirst; k < kFirst + kCount; k += 4) {
        const Ints words = vreinterpretq_s32_s8(vld1q_s8(q[t] + 4 * k));
        const Bytes x[4] = {Word<0>(words), Word<1>(words), Word<2>(words), Word<3>(words)};
        AddFour<(kLargest <= 63)>(w + k, x, &low, &high);
      }
      sums[t] = vaddq_s32(sums[t], vpaddq_s32(low, high));
    }
  }

 private:
  template <int kWord>
  static Bytes Word(Ints words) {
    return vreinterpretq_s8_s32(vdupq_laneq_s32(words, kWord));
  }
  template <bool kMeet>
  static void AddFour(const Bytes* w, const Bytes* x, Ints* low, Ints* high) {
    int16x8_t l = vmull_s8(vget_low_s8(w[0]), vget_low_s8(x[0]));
    int16x8_t h = vmull_high_s8(w[0], x[0]);
    for (int k = 1; k < 4; ++k) {
      if constexpr (kMeet) {
        l = vmlal_s8(l, vget_low_s8(w[k]), vget_low_s8(x[k]));
        h = vmlal_high_s8(h, w[k], x[k]);
      } else {
        *low = vpadalq_s16(*low, l);
        *high = vpadalq_s16(*high, h);
        l = vmull_s8(vget_low_s8(w[k]), vget_low_s8(x[k]));
        h = vmull_high_s8(w[k], x[k]);
      }
    }
    *low = vpadalq_s16(*low, l);
    *high = vpadalq_s16(*high, h);
  }
};

}  // namespace

void Matmul(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end, float* y,
            int64_t y_stride) {
  MultiplyAny<Neon>(w, x, row_begin, row_end, y, y_stride);
}

}  // namespace shoal::neon
