#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"

// Softmax attention over tiles of keys. Contract (docs/arithmetic.md section 6), for each query by
// itself: tile j holds keys [64 j, 64 j + 64), of which the query sees those from its first key on
// and below its number of keys; a tile of which it sees nothing is skipped. In a tile, over what it
// sees:
//   s[k] = (q . k) * scale, q . k in 16 lanes (as float products);   m = max s[k]
//   p[k] = Exp(s[k] - m);   l = sum of p in 16 lanes, key k to lane k mod 16, lanes as a tree
//   o[d] = fma(p[k], v[k][d], o[d]), k ascending from o = 0
// Tiles are merged ascending; the first one is taken as it is, then with M' = max(M, m),
// a = Exp(M - M'), b = Exp(m - M'): L = fma(l, b, L * a), O = fma(o, b, O * a).
// A sink S joins last, as a tile of one key without a value (l = 1, o = 0), so that L = L * a + b
// and O = O * a. out[d] = O[d] / L. Keys and values are used as they are stored: f16 and d * q of
// q8_0 are exact in f32. head_dim is any length. Sums of a query never depend on the other queries
// of the call.
namespace shoal {

namespace scalar {
void Attend(const AttendArgs& args);
}  // namespace scalar
namespace avx2 {
void Attend(const AttendArgs& args);
}  // namespace avx2
namespace avx512 {
void Attend(const AttendArgs& args);
}  // namespace avx512
namespace neon {
void Attend(const AttendArgs& args);
}  // namespace neon

}  // namespace shoal
