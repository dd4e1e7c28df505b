#pragma once

#include <arm_neon.h>
#include <stdint.h>

// The 16 virtual lanes of docs/arithmetic.md as four registers. For *_neon*.cc files alone: all of
// it is private to the file that includes it. f32x16_avx2.h has the same names.
namespace shoal {
namespace {

struct F32x16 {
  float32x4_t part[4];
};

// Each register by itself: op(0) to op(3).
template <typename Op>
inline F32x16 ForParts(Op op) {
  return {{op(0), op(1), op(2), op(3)}};
}

inline F32x16 Broadcast(float x) {
  return ForParts([=](int) { return vdupq_n_f32(x); });
}
inline F32x16 Load(const float* p) {
  return ForParts([=](int i) { return vld1q_f32(p + 4 * i); });
}
inline F32x16 Load(const uint16_t* p) {  // f16
  return ForParts([=](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))); });
}
inline void Store(float* p, F32x16 v) {
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, v.part[i]);
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
  static constexpr int32_t kLane[4] = {0, 1, 2, 3};
  const int32x4_t lane = vld1q_s32(kLane);
  return ForParts([=](int i) {
    const int32x4_t left = vdupq_n_s32(static_cast<int32_t>(n) - 4 * i);
    return vbslq_f32(vcgtq_s32(left, lane), v.part[i], other.part[i]);
  });
}

inline F32x16 Add(F32x16 a, F32x16 b) {
  return ForParts([=](int i) { return vaddq_f32(a.part[i], b.part[i]); });
}
inline F32x16 Sub(F32x16 a, F32x16 b) {
  return ForParts([=](int i) { return vsubq_f32(a.part[i], b.part[i]); });
}
inline F32x16 Mul(F32x16 a, F32x16 b) {
  return ForParts([=](int i) { return vmulq_f32(a.part[i], b.part[i]); });
}
inline F32x16 Div(F32x16 a, F32x16 b) {
  return ForParts([=](int i) { return vdivq_f32(a.part[i], b.part[i]); });
}
inline float32x4_t Larger(float32x4_t a, float32x4_t b) {  // Not fmax, which would keep a NaN.
  return vbslq_f32(vcgtq_f32(a, b), a, b);
}
inline F32x16 Max(F32x16 a, F32x16 b) {
  return ForParts([=](int i) { return Larger(a.part[i], b.part[i]); });
}
inline F32x16 Fma(F32x16 a, F32x16 b, F32x16 c) {
  return ForParts([=](int i) { return vfmaq_f32(c.part[i], a.part[i], b.part[i]); });
}
inline F32x16 Negate(F32x16 a) {
  return ForParts([=](int i) { return vnegq_f32(a.part[i]); });
}

// The tree over lanes, down to four.
inline float32x4_t SumToFour(F32x16 v) {
  return vaddq_f32(vaddq_f32(v.part[0], v.part[2]), vaddq_f32(v.part[1], v.part[3]));
}
inline float Sum(F32x16 v) {
  const float32x4_t s4 = SumToFour(v);
  const float32x2_t s2 = vadd_f32(vget_low_f32(s4), vget_high_f32(s4));
  return vpadds_f32(s2);
}
// The same for four at once: out[i] = Sum(v[i]) * factor.
inline void StoreFourSums(const F32x16* v, float factor, float* out) {
  float32x4_t s2[2];
  for (int i = 0; i < 2; ++i) {
    const float64x2_t a = vreinterpretq_f64_f32(SumToFour(v[2 * i]));
    const float64x2_t b = vreinterpretq_f64_f32(SumToFour(v[2 * i + 1]));
    s2[i] =
        vaddq_f32(vreinterpretq_f32_f64(vzip1q_f64(a, b)), vreinterpretq_f32_f64(vzip2q_f64(a, b)));
  }
  vst1q_f32(out, vmulq_n_f32(vpaddq_f32(s2[0], s2[1]), factor));
}
inline float LargestLane(F32x16 v) {
  return vmaxnmvq_f32(Larger(Larger(v.part[0], v.part[2]), Larger(v.part[1], v.part[3])));
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
  for (const float c : {0x1.120b6ep-7F, 0x1.55551ap-5F, 0x1.5554dcp-3F, 0.5F, 1.0F, 1.0F}) {
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
  return ForParts([=](int i) { return Exp4(x.part[i]); });
}

// Queries that attention takes at once: 1 x 4 keys of sums fill 16 of 32 registers.
constexpr int kQueryTile = 1;

}  // namespace
}  // namespace shoal
