#include "bench/inner_loops.h"
#include "kernels/f32x16_avx512.h"
#include "kernels/matmul.h"
#include "kernels/matmul_zmm.h"
// After what it is written in.
#include "kernels/matmul_blocks.h"
#include "kernels/matmul_tiles.h"

namespace shoal::amx {

namespace {

// Jobs whose rows and weights lie still.
template <typename Format>
double RunTileLoop(int n) {
  alignas(64) int8_t q[kChunk][kTile][32];
  alignas(64) float dx[kChunk][kTile];
  alignas(64) float acc[kTile][kTile] = {};
  WeightChunk weights;
  alignas(64) JobSums sums[2];
  __builtin_memset(q, 3, sizeof(q));
  __builtin_memset(&weights, 0, sizeof(weights));
  __builtin_memset(sums, 0, sizeof(sums));
  for (auto& row : dx) {
    for (float& x : row) x = 0.5F;
  }
  const Job job = {
      .q = q, .dx = dx, .sum = dx, .weights = &weights, .acc = acc, .n_blocks = kChunk};
  ConfigureTiles(32);
  for (int i = 0; i < n; ++i) {
    RunJobs<Format>(job, &sums[i % 2], job, sums[1 - i % 2]);
  }
  asm volatile("tilerelease");
  asm volatile("" : : "r"(acc) : "memory");
  return 2.0 * n * static_cast<double>(kChunk) * 32 * kTile * kTile;
}

}  // namespace

double InnerLoop(int n, bool minima) {
  return minima ? RunTileLoop<FormatQ4_K<Zmm>>(n) : RunTileLoop<FormatQ4_0<Zmm>>(n);
}

}  // namespace shoal::amx
