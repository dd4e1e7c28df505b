#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"

// Ops on one row. Contracts (docs/arithmetic.md section 7); sums in 16 lanes, then the tree:
//   RmsNorm (Zhang and Sennrich 2019, arXiv:1910.07467): ss = sum of x * x (fma);
//            r = 1 / sqrt(ss / n + eps); out = (x * r) * w. out may be x.
//   LayerNorm (Ba et al. 2016, arXiv:1607.06450): mean = sum of x / n; d = x - mean;
//            r = 1 / sqrt(sum of d * d (fma) / n + eps); out = fma(d * r, w, bias). out may be x.
//   Softmax: m = max; e = Exp(x - m); x = e / sum of e.
//   SiluMul: out = (gate / (1 + Exp(-gate))) * up (Shazeer 2020, arXiv:2002.05202). out may be
//            either input.
//   GeluMul: out = Gelu(gate) * up, the tanh form (Hendrycks and Gimpel 2016, arXiv:1606.08415).
//   ClampedSiluMul: g = min(gate, limit); u = max(min(up, limit), -limit), limit > 0;
//            out = (u + 1) * (g / (1 + Exp(-(alpha * g)))).
//   Axpy:    y = fma(a, x, y).   Add: y = y + x.
// Rotary embedding (Su et al. 2021, arXiv:2104.09864) of one head, in place, pairs (a, b) being
// (i, i + head_dim / 2) or (2 i, 2 i + 1): a' = fma(a, cos, -(b * sin)), b' = fma(b, cos, a * sin).
namespace shoal {

namespace scalar {
void RmsNorm(const float* x, const float* w, int64_t n, float eps, float* out);
void LayerNorm(const float* x, const float* w, const float* bias, int64_t n, float eps, float* out);
void Softmax(float* x, int64_t n);
void SiluMul(const float* gate, const float* up, int64_t n, float* out);
void GeluMul(const float* gate, const float* up, int64_t n, float* out);
void ClampedSiluMul(const float* gate, const float* up, int64_t n, float alpha, float limit,
                    float* out);
void Axpy(float a, const float* x, int64_t n, float* y);
void Add(const float* x, int64_t n, float* y);
void RopeHalf(float* head, const float* cos, const float* sin, int head_dim);
void RopeAdjacent(float* head, const float* cos, const float* sin, int head_dim);
}  // namespace scalar

// Adjacent pairs are turned by the scalar code everywhere.
namespace avx2 {
void RmsNorm(const float* x, const float* w, int64_t n, float eps, float* out);
void LayerNorm(const float* x, const float* w, const float* bias, int64_t n, float eps, float* out);
void Softmax(float* x, int64_t n);
void SiluMul(const float* gate, const float* up, int64_t n, float* out);
void GeluMul(const float* gate, const float* up, int64_t n, float* out);
void ClampedSiluMul(const float* gate, const float* up, int64_t n, float alpha, float limit,
                    float* out);
void Axpy(float a, const float* x, int64_t n, float* y);
void Add(const float* x, int64_t n, float* y);
void RopeHalf(float* head, const float* cos, const float* sin, int head_dim);
}  // namespace avx2

namespace avx512 {
void RmsNorm(const float* x, const float* w, int64_t n, float eps, float* out);
void LayerNorm(const float* x, const float* w, const float* bias, int64_t n, float eps, float* out);
void Softmax(float* x, int64_t n);
void SiluMul(const float* gate, const float* up, int64_t n, float* out);
void GeluMul(const float* gate, const float* up, int64_t n, float* out);
void ClampedSiluMul(const float* gate, const float* up, int64_t n, float alpha, float limit,
                    float* out);
void Axpy(float a, const float* x, int64_t n, float* y);
void Add(const float* x, int64_t n, float* y);
void RopeHalf(float* head, const float* cos, const float* sin, int head_dim);
}  // namespace avx512

namespace neon {
void RmsNorm(const float* x, const float* w, int64_t n, float eps, float* out);
void LayerNorm(const float* x, const float* w, const float* bias, int64_t n, float eps, float* out);
void Softmax(float* x, int64_t n);
void SiluMul(const float* gate, const float* up, int64_t n, float* out);
void GeluMul(const float* gate, const float* up, int64_t n, float* out);
void ClampedSiluMul(const float* gate, const float* up, int64_t n, float alpha, float limit,
                    float* out);
void Axpy(float a, const float* x, int64_t n, float* y);
void Add(const float* x, int64_t n, float* y);
void RopeHalf(float* head, const float* cos, const float* sin, int head_dim);
}  // namespace neon

}  // namespace shoal
