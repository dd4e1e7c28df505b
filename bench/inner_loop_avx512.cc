#include "bench/inner_loops.h"
#include "kernels/f32x16_avx512.h"
#include "kernels/matmul_zmm.h"
// After what it is written in.
#include "bench/inner_loop_body.h"

namespace shoal::avx512 {

double InnerLoop(int n, bool minima) {
  return minima ? RunInnerLoop<Zmm, true>(n) : RunInnerLoop<Zmm, false>(n);
}

}  // namespace shoal::avx512
