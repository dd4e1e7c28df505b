#include "kernels/weight_quantizer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/scalar_math.h"

namespace shoal {
namespace {

// Weights of a block or sub-block, and how much the error of each counts.
struct Weights {
  const float* x;
  const float* importance;
  int n;
  Weights Part(int begin, int size) const { return {x + begin, importance + begin, size}; }
};

// The weight of largest magnitude.
float Extreme(const Weights& w) {
  float top = 0.0F;
  for (int i = 0; i < w.n; ++i) top = std::fabs(w.x[i]) > std::fabs(top) ? w.x[i] : top;
  return top;
}

// Integers from kLow to kHigh.
template <int kLow, int kHigh>
int NearestInteger(float x) {
  return RoundToInt(std::clamp(x, static_cast<float>(kLow), static_cast<float>(kHigh)));
}

// The nearest of sixteen ascending values.
int NearestIQ4(float x) {
  int i = 0;
  while (i < 15 && x > 0.5F * static_cast<float>(kIQ4Values[i] + kIQ4Values[i + 1])) ++i;
  return kIQ4Values[i];
}

// The nearest of FP4, doubled.
int NearestFP4(float x) {
  const float magnitude = std::fabs(x);
  int i = 0;
  while (i < 7 && magnitude > 0.5F * static_cast<float>(kMXFP4Values[i] + kMXFP4Values[i + 1])) ++i;
  return x < 0.0F ? -kMXFP4Values[i] : kMXFP4Values[i];
}

// Error of scale * nearest(x / scale).
template <typename Nearest>
float ErrorOf(const Weights& w, float scale, Nearest nearest) {
  const float inverse = scale == 0.0F ? 0.0F : 1.0F / scale;
  float error = 0.0F;
  for (int i = 0; i < w.n; ++i) {
    const float e = w.x[i] - scale * static_cast<float>(nearest(w.x[i] * inverse));
    error += w.importance[i] * e * e;
  }
  return error;
}

// The scale that suits best the integers which `scale` rounds to.
template <typename Nearest>
float Refit(const Weights& w, float scale, Nearest nearest) {
  const float inverse = 1.0F / scale;
  float xq = 0.0F;
  float qq = 0.0F;
  for (int i = 0; i < w.n; ++i) {
    const auto q = static_cast<float>(nearest(w.x[i] * inverse));
    xq += w.importance[i] * w.x[i] * q;
    qq += w.importance[i] * q * q;
  }
  return qq == 0.0F ? scale : xq / qq;
}

// Scales to begin with: those that take the extreme weight to `first`, and to n - 1 more levels,
// each `step` times the one before; of either sign, if levels are not symmetric.
struct Search {
  float first;
  float step;
  int n;
  bool both_signs;
};

// f16 or not is the caller's: `rounded` gives what will be stored of a scale.
template <typename Nearest, typename Rounded>
float FitScale(const Weights& w, const Search& search, Nearest nearest, Rounded rounded) {
  const float top = Extreme(w);
  if (std::fabs(top) < 0x1p-100F) return 0.0F;
  float best = 0.0F;
  float best_error = INFINITY;
  const auto offer = [&](float scale) {
    const float stored = rounded(scale);
    const float error = ErrorOf(w, stored, nearest);
    if (error < best_error) {
      best_error = error;
      best = stored;
    }
  };
  float level = search.first;
  for (int i = 0; i < search.n; ++i, level *= search.step) {
    for (const float sign : {1.0F, -1.0F}) {
      if (sign < 0.0F && !search.both_signs) continue;
      offer(Refit(w, sign * top / level, nearest));
    }
  }
  offer(Refit(w, best == 0.0F ? top / search.first : best, nearest));
  return best;
}

float ThroughF16(float x) { return F32FromF16(F16FromF32(x)); }
float AsItIs(float x) { return x; }

template <typename Nearest>
void Round(const Weights& w, float scale, Nearest nearest, int8_t* q) {
  const float inverse = scale == 0.0F ? 0.0F : 1.0F / scale;
  for (int i = 0; i < w.n; ++i) q[i] = static_cast<int8_t>(nearest(w.x[i] * inverse));
}

// Elements i and i + 16 in a byte.
void StoreNibbles(const int8_t* q, int offset, uint8_t* out) {
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<uint8_t>((q[i] + offset) | (q[i + 16] + offset) << 4);
  }
}

void Make(const Weights& w, BlockQ8_0* out) {
  const Search search{.first = 129.0F, .step = 0.993F, .n = 8, .both_signs = false};
  const auto nearest = NearestInteger<-128, 127>;
  const float d = FitScale(w, search, nearest, ThroughF16);
  out->d = F16FromF32(d);
  Round(w, d, nearest, out->q);
}

void Make(const Weights& w, BlockQ4_0* out) {
  const Search search{.first = 10.0F, .step = 0.965F, .n = 20, .both_signs = true};
  const auto nearest = NearestInteger<-8, 7>;
  const float d = FitScale(w, search, nearest, ThroughF16);
  int8_t q[32];
  Round(w, d, nearest, q);
  out->d = F16FromF32(d);
  StoreNibbles(q, 8, out->q);
}

void Make(const Weights& w, BlockIQ4_NL* out) {
  const Search search{.first = 150.0F, .step = 0.96F, .n = 20, .both_signs = true};
  const float d = FitScale(w, search, NearestIQ4, ThroughF16);
  int8_t q[32];
  Round(w, d, NearestIQ4, q);
  for (int8_t& value : q) {
    value = static_cast<int8_t>(std::find(kIQ4Values, kIQ4Values + 16, value) - kIQ4Values);
  }
  out->d = F16FromF32(d);
  StoreNibbles(q, 0, out->q);
}

// Its scales are powers of two: the one that takes the extreme weight to FP4's largest, and those
// beside it.
void Make(const Weights& w, BlockMXFP4* out) {
  const float top = std::fabs(Extreme(w));
  const int above = static_cast<int>(std::bit_cast<uint32_t>(top) >> 23) - 1;
  float best_error = INFINITY;
  out->e = 0;
  for (int e = std::max(above - 3, 0); e <= std::min(above + 1, 254); ++e) {
    const float error = ErrorOf(w, HalfOfE8M0(static_cast<uint8_t>(e)), NearestFP4);
    if (error < best_error) {
      best_error = error;
      out->e = static_cast<uint8_t>(e);
    }
  }
  int8_t q[32];
  Round(w, HalfOfE8M0(out->e), NearestFP4, q);
  for (int8_t& value : q) {
    value = static_cast<int8_t>(std::find(kMXFP4Values, kMXFP4Values + 16, value) - kMXFP4Values);
  }
  StoreNibbles(q, 0, out->q);
}

// Weights of a ternary model are -d, 0 and d already; of others the best d lies far below the
// extreme.
float FitTernary(const Weights& w, int8_t* q) {
  const Search search{.first = 1.0F, .step = 1.2F, .n = 16, .both_signs = false};
  const auto nearest = NearestInteger<-1, 1>;
  const float d = std::fabs(FitScale(w, search, nearest, ThroughF16));
  Round(w, d, nearest, q);
  return d;
}

void Make(const Weights& w, BlockTQ2_0* out) {
  int8_t q[256];
  out->d = F16FromF32(FitTernary(w, q));
  for (int i = 0; i < 64; ++i) {
    int bits = 0;
    for (int t = 0; t < 4; ++t) bits |= (q[128 * (i / 32) + 32 * t + i % 32] + 1) << (2 * t);
    out->q[i] = static_cast<uint8_t>(bits);
  }
}

// Up to five digits of base 3, `stride` elements apart, as a fraction of 256: rounded up, so that
// multiplying by 3 gives them back one by one.
uint8_t FractionOf(const int8_t* q, int n_digits, int stride) {
  int value = 0;
  for (int n = 0; n < 5; ++n) value = value * 3 + (n < n_digits ? q[n * stride] + 1 : 0);
  return static_cast<uint8_t>((value * 256 + 242) / 243);
}

void Make(const Weights& w, BlockTQ1_0* out) {
  int8_t q[256];
  out->d = F16FromF32(FitTernary(w, q));
  for (int i = 0; i < 32; ++i) out->q[i] = FractionOf(q + i, 5, 32);
  for (int i = 0; i < 16; ++i) out->q[32 + i] = FractionOf(q + 160 + i, 5, 16);
  for (int i = 0; i < 4; ++i) out->qh[i] = FractionOf(q + 240 + i, 4, 4);
}

void Make(const Weights& w, BlockQ6_K* out) {
  const Search search{.first = 35.0F, .step = 0.985F, .n = 12, .both_signs = true};
  const auto nearest = NearestInteger<-32, 31>;
  float scales[16];
  float top = 0.0F;
  for (int s = 0; s < 16; ++s) {
    scales[s] = FitScale(w.Part(16 * s, 16), search, nearest, AsItIs);
    if (std::fabs(scales[s]) > std::fabs(top)) top = scales[s];
  }
  std::memset(out, 0, sizeof(*out));
  const float d = ThroughF16(top / -128.0F);
  out->d = F16FromF32(d);
  for (int s = 0; s < 16; ++s) {
    const Weights part = w.Part(16 * s, 16);
    const int near = d == 0.0F ? 0 : NearestInteger<-128, 127>(scales[s] / d);
    float best_error = INFINITY;
    for (int sc = std::max(near - 1, -128); sc <= std::min(near + 1, 127); ++sc) {
      const float error = ErrorOf(part, d * static_cast<float>(sc), nearest);
      if (error >= best_error) continue;
      best_error = error;
      out->scales[s] = static_cast<int8_t>(sc);
    }
    int8_t q[16];
    Round(part, d * static_cast<float>(out->scales[s]), nearest, q);
    const int half = s / 8;
    const int run = s % 8 / 2;  // Of the half's four runs of 32.
    for (int i = 0; i < 16; ++i) {
      const int value = q[i] + 32;
      const int at = 16 * (s % 2) + i;
      out->ql[64 * half + 32 * (run % 2) + at] |=
          static_cast<uint8_t>((value & 15) << (4 * (run / 2)));
      out->qh[32 * half + at] |= static_cast<uint8_t>((value >> 4) << (2 * run));
    }
  }
}

// Weights as scale * q - min, q from 0 to n_steps, min not below 0.
struct Affine {
  float scale = 0.0F;
  float min = 0.0F;
};

int Step(float x, const Affine& affine, float inverse, int n_steps) {
  const float q = (x + affine.min) * inverse;
  return RoundToInt(std::clamp(q, 0.0F, static_cast<float>(n_steps)));
}

float ErrorOf(const Weights& w, const Affine& affine, int n_steps) {
  const float inverse = affine.scale == 0.0F ? 0.0F : 1.0F / affine.scale;
  float error = 0.0F;
  for (int i = 0; i < w.n; ++i) {
    const auto q = static_cast<float>(Step(w.x[i], affine, inverse, n_steps));
    const float e = w.x[i] - (affine.scale * q - affine.min);
    error += w.importance[i] * e * e;
  }
  return error;
}

// Least squares for the steps that `affine` rounds to.
Affine Refit(const Weights& w, const Affine& affine, int n_steps) {
  const float inverse = 1.0F / affine.scale;
  float sum = 0.0F;
  float sum_x = 0.0F;
  float sum_q = 0.0F;
  float sum_qq = 0.0F;
  float sum_xq = 0.0F;
  for (int i = 0; i < w.n; ++i) {
    const auto q = static_cast<float>(Step(w.x[i], affine, inverse, n_steps));
    sum += w.importance[i];
    sum_x += w.importance[i] * w.x[i];
    sum_q += w.importance[i] * q;
    sum_qq += w.importance[i] * q * q;
    sum_xq += w.importance[i] * w.x[i] * q;
  }
  const float determinant = sum * sum_qq - sum_q * sum_q;
  if (determinant <= 0.0F) return affine;
  const Affine fitted{.scale = (sum * sum_xq - sum_x * sum_q) / determinant,
                      .min = (sum_q * sum_xq - sum_qq * sum_x) / determinant};
  if (fitted.min >= 0.0F) return fitted.scale > 0.0F ? fitted : affine;
  return {.scale = std::max(sum_xq / sum_qq, 0.0F), .min = 0.0F};
}

Affine FitAffine(const Weights& w, int n_steps) {
  const float low = std::min(*std::min_element(w.x, w.x + w.n), 0.0F);
  const float high = *std::max_element(w.x, w.x + w.n);
  if (high - low < 0x1p-100F) return {.scale = 0.0F, .min = -low};
  Affine best;
  float best_error = INFINITY;
  constexpr int kTries = 24;
  for (int i = 0; i < kTries; ++i) {  // From a fifth of the range cut off to a step too wide.
    const float steps = static_cast<float>(n_steps) * 1.25F -
                        static_cast<float>(i) * 0.02F * static_cast<float>(n_steps);
    Affine affine{.scale = (high - low) / steps, .min = -low};
    for (int round = 0; round < 2; ++round) {
      affine = Refit(w, affine, n_steps);
      if (affine.scale == 0.0F) break;
      const float error = ErrorOf(w, affine, n_steps);
      if (error >= best_error) continue;
      best_error = error;
      best = affine;
    }
  }
  return best;
}

// The scales and minima of eight sub-blocks, six bits each.
void StoreScales(const uint8_t* scales, const uint8_t* mins, uint8_t* out) {
  for (int i = 0; i < 4; ++i) {
    out[i] = static_cast<uint8_t>(scales[i] | (scales[i + 4] >> 4) << 6);
    out[i + 4] = static_cast<uint8_t>(mins[i] | (mins[i + 4] >> 4) << 6);
    out[i + 8] = static_cast<uint8_t>((scales[i + 4] & 15) | (mins[i + 4] & 15) << 4);
  }
}

// Q4_K and Q5_K; leaves the weights' steps in `steps`.
template <typename Block>
void MakeWithMins(const Weights& w, int n_steps, Block* out, uint8_t* steps) {
  Affine fits[8];
  float top_scale = 0.0F;
  float top_min = 0.0F;
  for (int s = 0; s < 8; ++s) {
    fits[s] = FitAffine(w.Part(32 * s, 32), n_steps);
    top_scale = std::max(top_scale, fits[s].scale);
    top_min = std::max(top_min, fits[s].min);
  }
  std::memset(out, 0, sizeof(*out));
  out->d = F16FromF32(top_scale / 63.0F);
  out->dmin = F16FromF32(top_min / 63.0F);
  const float d = F32FromF16(out->d);
  const float dmin = F32FromF16(out->dmin);
  uint8_t scales[8] = {};
  uint8_t mins[8] = {};
  for (int s = 0; s < 8; ++s) {
    const Weights part = w.Part(32 * s, 32);
    const int near_sc = d == 0.0F ? 0 : NearestInteger<0, 63>(fits[s].scale / d);
    const int near_m = dmin == 0.0F ? 0 : NearestInteger<0, 63>(fits[s].min / dmin);
    Affine best;
    float best_error = INFINITY;
    for (int sc = std::max(near_sc - 1, 0); sc <= std::min(near_sc + 1, 63); ++sc) {
      for (int m = std::max(near_m - 1, 0); m <= std::min(near_m + 1, 63); ++m) {
        const Affine affine{.scale = d * static_cast<float>(sc),
                            .min = dmin * static_cast<float>(m)};
        const float error = ErrorOf(part, affine, n_steps);
        if (error >= best_error) continue;
        best_error = error;
        best = affine;
        scales[s] = static_cast<uint8_t>(sc);
        mins[s] = static_cast<uint8_t>(m);
      }
    }
    const float inverse = best.scale == 0.0F ? 0.0F : 1.0F / best.scale;
    for (int i = 0; i < 32; ++i) {
      steps[32 * s + i] = static_cast<uint8_t>(Step(part.x[i], best, inverse, n_steps));
    }
  }
  StoreScales(scales, mins, out->scales);
  for (int i = 0; i < 256; ++i) {
    const int sub = i / 32;
    out->q[32 * (sub / 2) + i % 32] |= static_cast<uint8_t>((steps[i] & 15) << (4 * (sub % 2)));
  }
}

void Make(const Weights& w, BlockQ4_K* out) {
  uint8_t steps[256];
  MakeWithMins(w, 15, out, steps);
}

void Make(const Weights& w, BlockQ5_K* out) {
  uint8_t steps[256];
  MakeWithMins(w, 31, out, steps);
  for (int i = 0; i < 256; ++i) {
    out->qh[i % 32] |= static_cast<uint8_t>((steps[i] >> 4) << (i / 32));
  }
}

template <typename Block>
void MakeRow(std::span<const float> x, std::span<const float> importance, int block_elems,
             std::byte* out) {
  float weights[256];
  std::fill_n(weights, 256, 1.0F);
  for (size_t at = 0; at < x.size(); at += static_cast<size_t>(block_elems)) {
    for (size_t i = 0; !importance.empty() && i < static_cast<size_t>(block_elems); ++i) {
      weights[i] = std::sqrt(importance[at + i]);
    }
    Block block;
    Make({x.data() + at, weights, block_elems}, &block);
    std::memcpy(out, &block, sizeof(block));
    out += sizeof(block);
  }
}

// Calls body with a null pointer to the block of a type that can be made; false for others.
template <typename Body>
bool WithBlock(DType dtype, Body body) {
  switch (dtype) {
    case DType::kQ8_0:
      body(static_cast<BlockQ8_0*>(nullptr));
      return true;
    case DType::kQ4_0:
      body(static_cast<BlockQ4_0*>(nullptr));
      return true;
    case DType::kQ4_K:
      body(static_cast<BlockQ4_K*>(nullptr));
      return true;
    case DType::kQ5_K:
      body(static_cast<BlockQ5_K*>(nullptr));
      return true;
    case DType::kQ6_K:
      body(static_cast<BlockQ6_K*>(nullptr));
      return true;
    case DType::kIQ4_NL:
      body(static_cast<BlockIQ4_NL*>(nullptr));
      return true;
    case DType::kMXFP4:
      body(static_cast<BlockMXFP4*>(nullptr));
      return true;
    case DType::kTQ2_0:
      body(static_cast<BlockTQ2_0*>(nullptr));
      return true;
    case DType::kTQ1_0:
      body(static_cast<BlockTQ1_0*>(nullptr));
      return true;
    default:
      return false;
  }
}

}  // namespace

bool CanQuantize(DType dtype) {
  return WithBlock(dtype, [](auto*) {});
}

void QuantizeWeights(DType dtype, std::span<const float> x, std::span<const float> importance,
                     std::byte* out) {
  const int block_elems = Traits(dtype).block_elems;
  SHOAL_CHECK_EQ(x.size() % static_cast<size_t>(block_elems), size_t{0});
  SHOAL_CHECK(importance.empty() || importance.size() == x.size());
  SHOAL_CHECK(WithBlock(
      dtype, [&]<typename Block>(Block*) { MakeRow<Block>(x, importance, block_elems, out); }));
}

}  // namespace shoal
