#pragma once

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

// The 16 virtual lanes of docs/arithmetic.md as four registers. For *_neon*.cc files alone: all of
// it is private to the file that includes it. f32x16_avx2.h has the same names.
namespace shoal {
namespace {

struct F32x16 {  // No array: compilers then keep it in registers.
  float32x4_t part0;
  float32x4_t part1;
  float32x4_t part2;
  float32x4_t part3;
};

// op of each register by itself.
template <typename Op, typename... Lanes>
inline F32x16 ForParts(Op op, const Lanes&... v) {
  return {op(v.part0...), op(v.part1...), op(v.part2...), op(v.part3...)};
}
// op(offset) for the offset of each register's lanes.
template <typename Op>
inline F32x16 ForOffsets(Op op) {
  return {op(0), op(4), op(8), op(12)};
}

inline F32x16 Broadcast(float x) {
  const float32x4_t v = vdupq_n_f32(x);
  return {v, v, v, v};
}
inline F32x16 Load(const float* p) {
  return ForOffsets([=](int i) { return vld1q_f32(p + i); });
}
inline F32x16 Load(const uint16_t* p) {  // f16
  return ForOffsets([=](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + i))); });
}
inline F32x16 LoadBf16(const uint16_t* p) {
  return ForOffsets([=](int i) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + i), 16)); });
}
inline void Store(float* p, F32x16 v) {
  vst1q_f32(p, v.part0);
  vst1q_f32(p + 4, v.part1);
  vst1q_f32(p + 8, v.part2);
  vst1q_f32(p + 12, v.part3);
}

// The first n of 16, 0 < n < 16; the rest are zeros, or are left alone.
template <typename T>
inline F32x16 LoadFirst(const T* p, int64_t n) {
  T buffer[16] = {};
  __builtin_memcpy(buffer, p, static_cast<size_t>(n) * sizeof(T));
  return Load(buffer);
}
inline void StoreFirst(float* p, int64_t n, F32x16 v) {
  float buffer[16];
  Store(buffer, v);
  __builtin_memcpy(p, buffer, static_cast<size_t>(n) * sizeof(float));
}
// Lanes n and on become `other`'s; 0 < n <= 16.
inline F32x16 KeepFirst(F32x16 v, int64_t n, F32x16 other) {
  static constexpr float kLane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const float32x4_t count = vdupq_n_f32(static_cast<float>(n));
  return ForParts([=](float32x4_t x, float32x4_t y,
                      float32x4_t lane) { return vbslq_f32(vcgtq_f32(count, lane), x, y); },
                  v, other, Load(kLane));
}

inline F32x16 Add(F32x16 a, F32x16 b) {
  return ForParts([](float32x4_t x, float32x4_t y) { return vaddq_f32(x, y); }, a, b);
}
inline F32x16 Sub(F32x16 a, F32x16 b) {
  return ForParts([](float32x4_t x, float32x4_t y) { return vsubq_f32(x, y); }, a, b);
}
inline F32x16 Mul(F32x16 a, F32x16 b) {
  return ForParts([](float32x4_t x, float32x4_t y) { return vmulq_f32(x, y); }, a, b);
}
inline F32x16 Div(F32x16 a, F32x16 b) {
  return ForParts([](float32x4_t x, float32x4_t y) { return vdivq_f32(x, y); }, a, b);
}
inline float32x4_t Larger(float32x4_t x, float32x4_t y) {  // Not fmax, which would keep a NaN.
  return vbslq_f32(vcgtq_f32(x, y), x, y);
}
inline F32x16 Max(F32x16 a, F32x16 b) {
  return ForParts([](float32x4_t x, float32x4_t y) { return Larger(x, y); }, a, b);
}
inline F32x16 Fma(F32x16 a, F32x16 b, F32x16 c) {
  return ForParts([](float32x4_t x, float32x4_t y, float32x4_t z) { return vfmaq_f32(z, x, y); }, a,
                  b, c);
}
inline F32x16 Negate(F32x16 a) {
  return ForParts([](float32x4_t x) { return vnegq_f32(x); }, a);
}

// The tree over lanes, down to four.
inline float32x4_t SumToFour(F32x16 v) {
  return vaddq_f32(vaddq_f32(v.part0, v.part2), vaddq_f32(v.part1, v.part3));
}
inline float Sum(F32x16 v) {
  const float32x4_t s4 = SumToFour(v);
  const float32x2_t s2 = vadd_f32(vget_low_f32(s4), vget_high_f32(s4));
  return vpadds_f32(s2);
}
// Of each of the two: two numbers that are left to add.
inline float32x4_t SumsToTwo(F32x16 v, F32x16 w) {
  const float64x2_t a = vreinterpretq_f64_f32(SumToFour(v));
  const float64x2_t b = vreinterpretq_f64_f32(SumToFour(w));
  return vaddq_f32(vreinterpretq_f32_f64(vzip1q_f64(a, b)),
                   vreinterpretq_f32_f64(vzip2q_f64(a, b)));
}
// Sum of four at once: out[i] = Sum(v[i]) * factor.
inline void StoreFourSums(const F32x16* v, float factor, float* out) {
  const float32x4_t sums = vpaddq_f32(SumsToTwo(v[0], v[1]), SumsToTwo(v[2], v[3]));
  vst1q_f32(out, vmulq_n_f32(sums, factor));
}
inline float LargestLane(F32x16 v) {
  return vmaxnmvq_f32(Larger(Larger(v.part0, v.part2), Larger(v.part1, v.part3)));
}
inline float SquareRoot(float x) { return vget_lane_f32(vsqrt_f32(vdup_n_f32(x)), 0); }

// Exp of scalar_math.h, step by step.
inline float32x4_t Exp4(float32x4_t x) {
  const float32x4_t magic = vdupq_n_f32(0x1.8p23F);
  x = vmaxq_f32(x, vdupq_n_f32(-104.0F));  // These let a NaN pass.
  x = vminq_f32(x, vdupq_n_f32(89.0F));
  const float32x4_t shifted = vfmaq_f32(magic, x, vdupq_n_f32(0x1.715476p+0F));
  const float32x4_t n = vsubq_f32(shifted, magic);
  float32x4_t r = vfmaq_f32(x, n, vdupq_n_f32(-0x1.62e4p-1F));
  r = vfmaq_f32(r, n, vdupq_n_f32(-0x1.7f7d1cp-20F));
  float32x4_t p = vdupq_n_f32(0x1.6d110ap-10F);
  constexpr float kCoefficients[] = {0x1.120b6ep-7F, 0x1.55551ap-5F, 0x1.5554dcp-3F,
                                     0.5F,           1.0F,           1.0F};
  for (const float c : kCoefficients) {
    p = vfmaq_f32(vdupq_n_f32(c), p, r);
  }
  const int32x4_t n_int = vsubq_s32(vreinterpretq_s32_f32(shifted), vreinterpretq_s32_f32(magic));
  const int32x4_t half = vshrq_n_s32(n_int, 1);
  const int32x4_t bias = vdupq_n_s32(127);
  const int32x4_t a = vshlq_n_s32(vaddq_s32(half, bias), 23);
  const int32x4_t b = vshlq_n_s32(vaddq_s32(vsubq_s32(n_int, half), bias), 23);
  return vmulq_f32(vmulq_f32(p, vreinterpretq_f32_s32(a)), vreinterpretq_f32_s32(b));
}
inline F32x16 Exp(F32x16 x) {
  return ForParts([](float32x4_t v) { return Exp4(v); }, x);
}

// Queries that attention takes at once: 1 x 4 keys of sums fill 16 of 32 registers.
constexpr int kQueryTile = 1;
// Weight rows and activation rows that products of floats take at once: as many sums.
constexpr int kFloatTile = 2;

}  // namespace
}  // namespace shoal
