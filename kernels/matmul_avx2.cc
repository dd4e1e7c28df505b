#include "kernels/f32x16_avx2.h"
#include "kernels/matmul.h"
#include "kernels/matmul_ymm.h"
// After what it is written in.
#include "kernels/matmul_blocks.h"

namespace shoal::avx2 {
namespace {

// vpmaddubsw adds pairs of products in 16 bits: as many words meet there as cannot overflow.
struct Avx2 : Ymm {
  template <int kLargest, int kFirst, int kCount, int kTile>
  static void Dot(const Bytes* w, const int8_t* const* q, Ints* sums) {
    if constexpr (kLargest > 127) {  // Even one would: lower and upper nibbles apart.
      Bytes part[kFirst + kCount];
      for (int k = kFirst; k < kFirst + kCount; ++k) part[k] = Field<0, 0x0F>(w[k]);
      DotInWords<15, kFirst, kCount, kTile>(part, q, 1, sums);
      for (int k = kFirst; k < kFirst + kCount; ++k) part[k] = Field<4, 0x0F>(w[k]);
      DotInWords<15, kFirst, kCount, kTile>(part, q, 16, sums);
    } else {
      DotInWords<kLargest, kFirst, kCount, kTile>(w, q, 1, sums);
    }
  }

 private:
  // sums[t] += factor * the sum of products; |factor * a 16-bit sum| stays below 2^20.
  template <int kLargest, int kFirst, int kCount, int kTile>
  static void DotInWords(const Bytes* w, const int8_t* const* q, int16_t factor, Ints* sums) {
    constexpr int kFit = 32767 / (2 * kLargest * 128);
    constexpr int kMeet = kFit >= 8 ? 8 : kFit >= 4 ? 4 : kFit >= 2 ? 2 : 1;
    constexpr int kWords = kMeet < kCount ? kMeet : kCount;
    for (int t = 0; t < kTile; ++t) {
      for (int first = kFirst; first < kFirst + kCount; first += kWords) {
        __m256i pairs = _mm256_maddubs_epi16(w[first], Word(q[t], first));
        for (int k = first + 1; k < first + kWords; ++k) {
          pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(w[k], Word(q[t], k)));
        }
        sums[t] = _mm256_add_epi32(sums[t], _mm256_madd_epi16(pairs, _mm256_set1_epi16(factor)));
      }
    }
  }
};

}  // namespace

void Matmul(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end, float* y,
            int64_t y_stride) {
  MultiplyAny<Avx2>(w, x, row_begin, row_end, y, y_stride);
}

}  // namespace shoal::avx2
