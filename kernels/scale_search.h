#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "model/dtype.h"

// How weight_quantizer.cc finds the scale of a block: from many scales to begin with, the least
// squares for the integers that each rounds to. Sums run in four lanes, element i in lane i mod 4,
// ascending, then lanes 0 + 2 and 1 + 3, then those two: the same bits from every compiler's
// vectors.
namespace shoal {

using F4 = float __attribute__((vector_size(16)));

inline F4 Load4(const float* x) {
  F4 v;
  std::memcpy(&v, x, sizeof(v));
  return v;
}
inline F4 All4(float x) { return F4{x, x, x, x}; }
inline float Sum4(F4 v) { return (v[0] + v[2]) + (v[1] + v[3]); }
inline F4 Clamp4(F4 x, float low, float high) {
  const F4 above = x < All4(low) ? All4(low) : x;
  return above > All4(high) ? All4(high) : above;
}
// Half to even, for magnitudes up to 2^22.
inline F4 Round4(F4 x) { return (x + All4(0x1.8p23F)) - All4(0x1.8p23F); }

// Weights of a block or sub-block, and how much the error of each counts. n is a multiple of 4.
struct Weights {
  const float* x;
  const float* importance;
  int n;
  Weights Part(int begin, int size) const { return {x + begin, importance + begin, size}; }
};

// --- What quotients of weight and scale may become.

// Integers from kLow to kHigh.
template <int kLow, int kHigh>
F4 NearestInteger(F4 x) {
  return Round4(Clamp4(x, kLow, kHigh));
}

// The nearest of n ascending values.
inline F4 NearestOf(F4 x, const int8_t* values, int n) {
  F4 nearest = All4(values[0]);
  for (int i = 0; i + 1 < n; ++i) {
    const F4 step = All4(static_cast<float>(values[i + 1] - values[i]));
    const F4 middle = All4(0.5F * static_cast<float>(values[i] + values[i + 1]));
    nearest += x > middle ? step : F4{};
  }
  return nearest;
}

inline F4 NearestIQ4(F4 x) { return NearestOf(x, kIQ4Values, 16); }

// The nearest of FP4, doubled.
inline F4 NearestFP4(F4 x) {
  const F4 nearest = NearestOf(x < F4{} ? -x : x, kMXFP4Values, 8);
  return x < F4{} ? -nearest : nearest;
}

// --- Weights as scale * q.

inline float InverseOf(float scale) { return scale == 0.0F ? 0.0F : 1.0F / scale; }

// Error of scale * nearest(x / scale).
template <typename Nearest>
float ErrorOf(const Weights& w, float scale, Nearest nearest) {
  const F4 inverse = All4(InverseOf(scale));
  F4 error{};
  for (int i = 0; i < w.n; i += 4) {
    const F4 x = Load4(w.x + i);
    const F4 e = x - All4(scale) * nearest(x * inverse);
    error += Load4(w.importance + i) * e * e;
  }
  return Sum4(error);
}

// The scale that suits best the integers which another rounds to, and by how much it lowers the
// error below that of all zeros.
struct ScaleFit {
  float scale = 0.0F;
  float gain = 0.0F;
};

template <typename Nearest>
ScaleFit Refit(const Weights& w, float scale, Nearest nearest) {
  const F4 inverse = All4(InverseOf(scale));
  F4 xq{};
  F4 qq{};
  for (int i = 0; i < w.n; i += 4) {
    const F4 x = Load4(w.x + i);
    const F4 q = nearest(x * inverse);
    const F4 weighted = Load4(w.importance + i) * q;
    xq += weighted * x;
    qq += weighted * q;
  }
  const float sum = Sum4(qq);
  if (sum == 0.0F) return {.scale = scale};
  const float fitted = Sum4(xq) / sum;
  return {.scale = fitted, .gain = fitted * Sum4(xq)};
}

// The weight of largest magnitude.
inline float Extreme(const Weights& w) {
  float top = 0.0F;
  for (int i = 0; i < w.n; ++i) top = std::fabs(w.x[i]) > std::fabs(top) ? w.x[i] : top;
  return top;
}

// Scales to begin with: those that take the extreme weight to `first`, and to n - 1 more levels,
// each `step` times the one before; of either sign, if levels are not symmetric.
struct Search {
  float first;
  float step;
  int n;
  bool both_signs;
};

// `rounded` gives what will be stored of a scale.
template <typename Nearest, typename Rounded>
float FitScale(const Weights& w, const Search& search, Nearest nearest, Rounded rounded) {
  const float top = Extreme(w);
  if (std::fabs(top) < 0x1p-100F) return 0.0F;
  ScaleFit best{.scale = top / search.first};
  float level = search.first;
  for (int i = 0; i < search.n; ++i, level *= search.step) {
    for (const float sign : {1.0F, -1.0F}) {
      if (sign < 0.0F && !search.both_signs) continue;
      const ScaleFit fit = Refit(w, sign * top / level, nearest);
      if (fit.gain > best.gain) best = fit;
    }
  }
  float stored = rounded(best.scale);
  float error = ErrorOf(w, stored, nearest);
  for (int round = 0; round < 3; ++round) {
    const float again = rounded(Refit(w, stored, nearest).scale);
    const float less = ErrorOf(w, again, nearest);
    if (less >= error) break;
    stored = again;
    error = less;
  }
  return stored;
}

template <typename Nearest>
void RoundTo(const Weights& w, float scale, Nearest nearest, int8_t* q) {
  const F4 inverse = All4(InverseOf(scale));
  for (int i = 0; i < w.n; i += 4) {
    const F4 nearest_four = nearest(Load4(w.x + i) * inverse);
    for (int lane = 0; lane < 4; ++lane) q[i + lane] = static_cast<int8_t>(nearest_four[lane]);
  }
}

// --- Weights as scale * q - min, q from 0 to n_steps, min not below 0.

struct Affine {
  float scale = 0.0F;
  float min = 0.0F;
};

inline F4 Steps4(F4 x, const Affine& affine, F4 inverse, int n_steps) {
  return Round4(Clamp4((x + All4(affine.min)) * inverse, 0.0F, static_cast<float>(n_steps)));
}

inline float ErrorOf(const Weights& w, const Affine& affine, int n_steps) {
  const F4 inverse = All4(InverseOf(affine.scale));
  F4 error{};
  for (int i = 0; i < w.n; i += 4) {
    const F4 x = Load4(w.x + i);
    const F4 q = Steps4(x, affine, inverse, n_steps);
    const F4 e = x - (All4(affine.scale) * q - All4(affine.min));
    error += Load4(w.importance + i) * e * e;
  }
  return Sum4(error);
}

// Of a block, whatever its steps.
struct AffineSums {
  float w = 0.0F;   // Of importance,
  float wx = 0.0F;  // and of importance times weight.
};

inline AffineSums SumsOf(const Weights& w) {
  F4 sum{};
  F4 sum_x{};
  for (int i = 0; i < w.n; i += 4) {
    const F4 importance = Load4(w.importance + i);
    sum += importance;
    sum_x += importance * Load4(w.x + i);
  }
  return {Sum4(sum), Sum4(sum_x)};
}

struct AffineFit {
  Affine affine;
  float gain = -INFINITY;  // By how much the error is below that of all zeros.
};

// Least squares for the steps that `affine` rounds to.
inline AffineFit Refit(const Weights& w, const AffineSums& sums, const Affine& affine,
                       int n_steps) {
  const F4 inverse = All4(1.0F / affine.scale);
  F4 lanes_q{};
  F4 lanes_qq{};
  F4 lanes_xq{};
  for (int i = 0; i < w.n; i += 4) {
    const F4 x = Load4(w.x + i);
    const F4 q = Steps4(x, affine, inverse, n_steps);
    const F4 weighted = Load4(w.importance + i) * q;
    lanes_q += weighted;
    lanes_qq += weighted * q;
    lanes_xq += weighted * x;
  }
  const float sum_q = Sum4(lanes_q);
  const float sum_qq = Sum4(lanes_qq);
  const float sum_xq = Sum4(lanes_xq);
  const float determinant = sums.w * sum_qq - sum_q * sum_q;
  if (determinant <= 0.0F) return {.affine = affine};
  const Affine fitted{.scale = (sums.w * sum_xq - sums.wx * sum_q) / determinant,
                      .min = (sum_q * sum_xq - sum_qq * sums.wx) / determinant};
  if (fitted.min >= 0.0F) {
    if (fitted.scale <= 0.0F) return {.affine = affine};
    return {.affine = fitted, .gain = fitted.scale * sum_xq - fitted.min * sums.wx};
  }
  const float scale = std::max(sum_xq / sum_qq, 0.0F);
  return {.affine = {.scale = scale, .min = 0.0F}, .gain = scale * sum_xq};
}

inline Affine FitAffine(const Weights& w, int n_steps) {
  const float low = std::min(*std::min_element(w.x, w.x + w.n), 0.0F);
  const float high = *std::max_element(w.x, w.x + w.n);
  if (high - low < 0x1p-100F) return {.scale = 0.0F, .min = -low};
  const AffineSums sums = SumsOf(w);
  AffineFit best{.affine = {.scale = (high - low) / static_cast<float>(n_steps), .min = -low}};
  constexpr int kTries = 16;
  for (int i = 0; i < kTries; ++i) {  // From a fifth of the range cut off to a step too wide.
    const float steps = static_cast<float>(n_steps) * (1.25F - static_cast<float>(i) * 0.03F);
    AffineFit fit{.affine = {.scale = (high - low) / steps, .min = -low}};
    for (int round = 0; round < 2; ++round) {
      fit = Refit(w, sums, fit.affine, n_steps);
      if (fit.gain > best.gain) best = fit;
      if (fit.affine.scale == 0.0F) break;
    }
  }
  return best.affine;
}

}  // namespace shoal
