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

void LayerNorm(const float* x, const float* w, const float* bias, int64_t n, float eps,
               float* out) {
  Lanes16 sums;
  sums.Add(x, n);
  const float mean = sums.Sum() / static_cast<float>(n);
  Lanes16 squares;
  squares.AddSquaredDistances(x, mean, n);
  const float r = 1.0F / std::sqrt(squares.Sum() / static_cast<float>(n) + eps);
  for (int64_t i = 0; i < n; ++i) out[i] = std::fma((x[i] - mean) * r, w[i], bias[i]);
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

void GeluMul(const float* gate, const float* up, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = Gelu(gate[i]) * up[i];
}

void ClampedSiluMul(const float* gate, const float* up, int64_t n, float alpha, float limit,
                    float* out) {
  for (int64_t i = 0; i < n; ++i) {
    const float g = gate[i] > limit ? limit : gate[i];
    const float at_most = up[i] > limit ? limit : up[i];
    const float u = at_most < -limit ? -limit : at_most;
    out[i] = (u + 1.0F) * (g / (1.0F + Exp(-(alpha * g))));
  }
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
