#pragma once

// The inner loop of products with 4-bit weights, all of it in registers and a core's nearest cache:
// a block's integer sums and the scale step after them, without reading or unpacking weights. What
// a kernel reaches at most. `minima`: the contract of Q4_K, where a step for minima follows; else
// that of Q4_0. Each: operations (two a weight and row) of n rounds.
namespace shoal {

namespace avx2 {
double InnerLoop(int n, bool minima);
}  // namespace avx2
namespace avxvnni {
double InnerLoop(int n, bool minima);
}  // namespace avxvnni
namespace avx512 {
double InnerLoop(int n, bool minima);
}  // namespace avx512
namespace amx {
double InnerLoop(int n, bool minima);
}  // namespace amx

}  // namespace shoal
