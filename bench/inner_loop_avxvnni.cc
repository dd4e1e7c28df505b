#include "bench/inner_loops.h"
#include "kernels/f32x16_avx2.h"
#include "kernels/matmul_ymm.h"
// After what it is written in.
#include "bench/inner_loop_body.h"

namespace shoal::avxvnni {

double InnerLoop(int n, bool minima) {
  return minima ? RunInnerLoop<AvxVnni, true>(n) : RunInnerLoop<AvxVnni, false>(n);
}

}  // namespace shoal::avxvnni
