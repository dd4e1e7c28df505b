#include "kernels/f32x16_neon.h"
#include "kernels/matmul.h"
#include "kernels/matmul_v128.h"
// After what it is written in.
#include "kernels/matmul_blocks.h"

namespace shoal::neon_i8mm {
namespace {

// SMMLA multiplies eight bytes of two rows of weights with eight of two rows of activations, twice
// what SDOT does. Per four rows of weights and two of activations it saves 8 instructions, and
// interleaving costs 2 on that side and 8 in all on the other: four rows of activations pay for it.
struct NeonI8mm : V128 {
  static constexpr int kPairsFrom = 4;

  static void PairRows(const int8_t* a, const int8_t* b, int64_t n_blocks, int8_t* out) {
    for (int64_t i = 0; i < n_blocks * 32; i += 16) {
      const int64x2_t even = vreinterpretq_s64_s8(vld1q_s8(a + i));
      const int64x2_t odd = vreinterpretq_s64_s8(vld1q_s8(b + i));
      vst1q_s8(out + 2 * i, vreinterpretq_s8_s64(vzip1q_s64(even, odd)));
      vst1q_s8(out + 2 * i + 16, vreinterpretq_s8_s64(vzip2q_s64(even, odd)));
    }
  }

  template <int kLargest, int kFirst, int kCount, int kTile>
  static void Dot(const Bytes* w, const int8_t* const* q, Ints* sums) {
    if constexpr (kTile < kPairsFrom) return DotByRow<kFirst, kCount, kTile>(w, q, sums);
    Bytes low[kCount / 2];   // Elements 8i to 8i + 7 of rows 0 and 1.
    Bytes high[kCount / 2];  // Of rows 2 and 3.
    for (int i = 0; i < kCount / 2; ++i) {
      const Ints even = vreinterpretq_s32_s8(w[kFirst + 2 * i]);
      const Ints odd = vreinterpretq_s32_s8(w[kFirst + 2 * i + 1]);
      low[i] = vreinterpretq_s8_s32(vzip1q_s32(even, odd));
      high[i] = vreinterpretq_s8_s32(vzip2q_s32(even, odd));
    }
    for (int t = 0; t < kTile; t += 2) {
      Ints low_sums = vdupq_n_s32(0);  // Row 0 with t and t + 1, row 1 with t and t + 1.
      Ints high_sums = low_sums;
      for (int i = 0; i < kCount / 2; ++i) {
        const Bytes pair = vld1q_s8(q[t] + 8 * kFirst + 16 * i);
        low_sums = vmmlaq_s32(low_sums, low[i], pair);
        high_sums = vmmlaq_s32(high_sums, high[i], pair);
      }
      sums[t] = vaddq_s32(sums[t], vuzp1q_s32(low_sums, high_sums));
      if (t + 1 < kTile) sums[t + 1] = vaddq_s32(sums[t + 1], vuzp2q_s32(low_sums, high_sums));
    }
  }
};

}  // namespace

void Matmul(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end, float* y,
            int64_t y_stride) {
  MultiplyAny<NeonI8mm>(w, x, row_begin, row_end, y, y_stride);
}

}  // namespace shoal::neon_i8mm
