#include "bench/inner_loops.h"
#include "kernels/f32x16_avx2.h"
#include "kernels/matmul_ymm.h"
// After what it is written in.
#include "bench/inner_loop_body.h"

namespace shoal::avx2 {

double InnerLoop(int n, bool minima) {
  return minima ? RunInnerLoop<Avx2, true>(n) : RunInnerLoop<Avx2, false>(n);
}

}  // namespace shoal::avx2
