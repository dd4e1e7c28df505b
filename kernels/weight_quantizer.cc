#include "kernels/weight_quantizer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/scalar_math.h"
#include "kernels/scale_search.h"

namespace shoal {
namespace {

float ThroughF16(float x) { return F32FromF16(F16FromF32(x)); }
float AsItIs(float x) { return x; }

// A scale in steps of the block's own.
template <int kLow, int kHigh>
int StepsOf(float scale, float d) {
  if (d == 0.0F) return 0;
  return RoundToInt(std::clamp(scale / d, static_cast<float>(kLow), static_cast<float>(kHigh)));
}

// Elements i and i + 16 in a byte.
void StoreNibbles(const int8_t* q, int offset, uint8_t* out) {
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<uint8_t>((q[i] + offset) | (q[i + 16] + offset) << 4);
  }
}

// The integers from kFirst to kLast of a block with one scale; the scale, as F16.
template <int kFirst, int kLast>
uint16_t MakeIntegers(const Weights& w, const Search& search, int8_t* q) {
  const auto nearest = NearestInteger<kFirst, kLast>;
  const float d = FitScale(w, search, nearest, ThroughF16);
  RoundTo(w, d, nearest, q);
  return F16FromF32(d);
}

void Make(const Weights& w, BlockQ8_0* out) {
  const Search search{.first = 129.0F, .step = 0.993F, .n = 8, .both_signs = false};
  out->d = MakeIntegers<-128, 127>(w, search, out->q);
}

void Make(const Weights& w, BlockQ4_0* out) {
  const Search search{.first = 10.0F, .step = 0.965F, .n = 20, .both_signs = true};
  int8_t q[32];
  out->d = MakeIntegers<-8, 7>(w, search, q);
  StoreNibbles(q, 8, out->q);
}

void Make(const Weights& w, BlockQ5_0* out) {
  const Search search{.first = 18.5F, .step = 0.975F, .n = 16, .both_signs = true};
  int8_t q[32];
  out->d = MakeIntegers<-16, 15>(w, search, q);
  uint32_t high = 0;
  for (int i = 0; i < 32; ++i) {
    const int value = q[i] + 16;
    high |= static_cast<uint32_t>(value >> 4) << i;
    q[i] = static_cast<int8_t>(value & 15);
  }
  std::memcpy(out->qh, &high, sizeof(high));
  StoreNibbles(q, 0, out->q);
}

void Make(const Weights& w, BlockIQ4_NL* out) {
  const Search search{.first = 150.0F, .step = 0.96F, .n = 20, .both_signs = true};
  const float d = FitScale(w, search, NearestIQ4, ThroughF16);
  int8_t q[32];
  RoundTo(w, d, NearestIQ4, q);
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
  RoundTo(w, HalfOfE8M0(out->e), NearestFP4, q);
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
  RoundTo(w, d, nearest, q);
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
    const int near = StepsOf<-128, 127>(scales[s], d);
    float best_error = INFINITY;
    for (int sc = std::max(near - 1, -128); sc <= std::min(near + 1, 127); ++sc) {
      const float error = ErrorOf(part, d * static_cast<float>(sc), nearest);
      if (error >= best_error) continue;
      best_error = error;
      out->scales[s] = static_cast<int8_t>(sc);
    }
    int8_t q[16];
    RoundTo(part, d * static_cast<float>(out->scales[s]), nearest, q);
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
    const int near_sc = StepsOf<0, 63>(fits[s].scale, d);
    const int near_m = StepsOf<0, 63>(fits[s].min, dmin);
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
    const F4 inverse = All4(InverseOf(best.scale));
    for (int i = 0; i < 32; i += 4) {
      const F4 four = Steps4(Load4(part.x + i), best, inverse, n_steps);
      for (int l = 0; l < 4; ++l) steps[32 * s + i + l] = static_cast<uint8_t>(four[l]);
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
    case DType::kQ5_0:
      body(static_cast<BlockQ5_0*>(nullptr));
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
