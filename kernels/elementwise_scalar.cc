#include <algorithm>
#include <cmath>

#include "kernels/elementwise.h"
#include "kernels/scalar_math.h"

namespace shoal::scalar {

void RmsNorm(const float* x, const float* w, int64_t n, float eps, float* out) {
  const float mean = Dot16(x, x, n) / static_cast<float>(n);
  const float r = 1.0F / std::sqrt(mean + eps);
  for (int64_t i = 0; i < n; ++i) out[i] = (x[i] * r) * w[i];
}

void Softmax(float* x, int64_t n) {
  const float max = *std::max_element(x, x + n);
  for (int64_t i = 0; i < n; ++i) x[i] = Exp(x[i] - max);
  Lanes16 lanes;
  lanes.Add(x, n);
  const float sum = lanes.Sum();
  for (int64_t i = 0; i < n; ++i) x[i] = x[i] / sum;
}

void SiluMul(const float* gate, const float* up, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = Silu(gate[i]) * up[i];
}

void Axpy(float a, const float* x, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = std::fma(a, x[i], y[i]);
}

void Add(const float* x, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = y[i] + x[i];
}

namespace {

void Turn(float* a, float* b, float cos, float sin) {
  const float new_a = std::fma(*a, cos, -(*b * sin));
  const float new_b = std::fma(*b, cos, *a * sin);
  *a = new_a;
  *b = new_b;
}

}  // namespace

void RopeHalf(float* head, const float* cos, const float* sin, int head_dim) {
  const int half = head_dim / 2;
  for (int i = 0; i < half; ++i) Turn(&head[i], &head[i + half], cos[i], sin[i]);
}

void RopeAdjacent(float* head, const float* cos, const float* sin, int head_dim) {
  for (int i = 0; i < head_dim / 2; ++i) Turn(&head[2 * i], &head[2 * i + 1], cos[i], sin[i]);
}

}  // namespace shoal::scalar
