#include "kernels/elementwise.h"
#include "kernels/f32x16_avx512.h"
// After the lanes that it is written in.
#include "kernels/elementwise_f32x16.h"

namespace shoal::avx512 {

void RmsNorm(const float* x, const float* w, int64_t n, float eps, float* out) {
  RmsNormLanes(x, w, n, eps, out);
}
void LayerNorm(const float* x, const float* w, const float* bias, int64_t n, float eps,
               float* out) {
  LayerNormLanes(x, w, bias, n, eps, out);
}
void Softmax(float* x, int64_t n) { SoftmaxLanes(x, n); }
void SiluMul(const float* gate, const float* up, int64_t n, float* out) {
  SiluMulLanes(gate, up, n, out);
}
void GeluMul(const float* gate, const float* up, int64_t n, float* out) {
  GeluMulLanes(gate, up, n, out);
}
void ClampedSiluMul(const float* gate, const float* up, int64_t n, float alpha, float limit,
                    float* out) {
  ClampedSiluMulLanes(gate, up, n, alpha, limit, out);
}
void Axpy(float a, const float* x, int64_t n, float* y) { AxpyLanes(a, x, n, y); }
void Add(const float* x, int64_t n, float* y) { AddLanes(x, n, y); }
void RopeHalf(float* head, const float* cos, const float* sin, int head_dim) {
  RopeHalfLanes(head, cos, sin, head_dim);
}

}  // namespace shoal::avx512
