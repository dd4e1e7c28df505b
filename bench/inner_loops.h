#pragma once

// The inner loop of products with Q4_0 weights, all of it in registers and a core's nearest cache:
// a block's integer sums and the scale step after them, without reading or unpacking weights. What
// a kernel reaches at most. Each: operations (two a weight and row) of n rounds.
namespace shoal {

namespace avx2 {
double InnerLoop(int n);
}  // namespace avx2
namespace avxvnni {
double InnerLoop(int n);
}  // namespace avxvnni
namespace avx512 {
double InnerLoop(int n);
}  // namespace avx512
namespace amx {
double InnerLoop(int n);
}  // namespace amx

}  // namespace shoal
