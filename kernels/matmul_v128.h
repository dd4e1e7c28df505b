#pragma once

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/row_groups.h"

// What matmul_blocks.h asks of an instruction set, in NEON's 128-bit registers, but for Dot. For
// *_neon*.cc files alone; private to each.
namespace shoal {
namespace {

struct V128 {
  static constexpr int kLanes = 4;
  static constexpr int kMaxTile = 8;
  static constexpr bool kSigned = true;
  using Bytes = int8x16_t;
  using Ints = int32x4_t;
  using Floats = float32x4_t;

  static Bytes LoadBytes(const uint8_t* p) { return vreinterpretq_s8_u8(vld1q_u8(p)); }
  template <int kShift, int kMask>
  static Bytes Field(Bytes v) {
    uint8x16_t u = vreinterpretq_u8_s8(v);
    if constexpr (kShift > 0) u = vshrq_n_u8(u, kShift);
    if constexpr (kShift < 0) u = vshlq_n_u8(u, -kShift);
    constexpr bool kMasked = kShift == 4 && kMask == 0x0F;  // By the shift alone.
    if constexpr (!kMasked) u = vandq_u8(u, vdupq_n_u8(kMask));
    return vreinterpretq_s8_u8(u);
  }
  static Bytes Or(Bytes a, Bytes b) { return vorrq_s8(a, b); }
  static Bytes Lookup(const uint8_t* table, Bytes indices) {
    return vreinterpretq_s8_u8(vqtbl1q_u8(vld1q_u8(table), vreinterpretq_u8_s8(indices)));
  }
  static Bytes SubBytes(Bytes a, int n) { return vsubq_s8(a, vdupq_n_s8(static_cast<int8_t>(n))); }
  static Ints SetInts(int32_t n) { return vdupq_n_s32(n); }

  static Floats FromF16(const uint16_t* p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
  }
  static Floats FromU8(const uint8_t* p) { return vcvtq_f32_u32(FourWords(p)); }
  static Floats FromI8(const int8_t* p) {
    const int16x8_t wide = vmovl_s8(vcreate_s8(FourBytes(p)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
  }
  static Floats FromE8M0Halved(const uint8_t* p) {
    const uint32x4_t e = FourWords(p);
    const uint32x4_t normal = vshlq_n_u32(vsubq_u32(e, vdupq_n_u32(1)), 23);
    const uint32x4_t subnormal = vshlq_u32(vdupq_n_u32(0x00200000), vreinterpretq_s32_u32(e));
    const uint32x4_t finite = vbslq_u32(vcltq_u32(e, vdupq_n_u32(2)), subnormal, normal);
    const uint32x4_t nan = vdupq_n_u32(0x7FC00000);
    return vreinterpretq_f32_u32(vbslq_u32(vceqq_u32(e, vdupq_n_u32(255)), nan, finite));
  }
  static Floats ToFloats(Ints v) { return vcvtq_f32_s32(v); }
  static Floats SetFloats(float x) { return vdupq_n_f32(x); }
  static Floats Mul(Floats a, Floats b) { return vmulq_f32(a, b); }
  static Floats MulAdd(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }
  static Floats Negate(Floats v) { return vnegq_f32(v); }

  static Floats LoadFirst(const float* p, int64_t n) {
    if (n >= kLanes) return vld1q_f32(p);
    float first[kLanes] = {};
    if (n > 0) __builtin_memcpy(first, p, static_cast<size_t>(n) * sizeof(float));
    return vld1q_f32(first);
  }
  static void StoreFirst(float* p, int64_t n, Floats v) {
    if (n >= kLanes) return vst1q_f32(p, v);
    float all[kLanes];
    vst1q_f32(all, v);
    if (n > 0) __builtin_memcpy(p, all, static_cast<size_t>(n) * sizeof(float));
  }

  static void HalfSums(const int8_t* q, int32_t* sums) {
    for (int i = 0; i < 8; ++i) sums[i] = vaddlvq_s8(vld1q_s8(q + 16 * i));
  }

 private:
  static uint32_t FourBytes(const void* p) {
    uint32_t four;
    __builtin_memcpy(&four, p, sizeof(four));
    return four;
  }
  static uint32x4_t FourWords(const uint8_t* p) {
    return vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(FourBytes(p)))));
  }
};

#if defined(__ARM_FEATURE_DOTPROD)
// Dot of matmul_blocks.h by SDOT, which multiplies four bytes of each of four rows.
template <int kFirst, int kCount, int kTile>
inline void DotByRow(const int8x16_t* w, const int8_t* const* q, int32x4_t* sums) {
  for (int t = 0; t < kTile; ++t) {
    for (int k = kFirst; k < kFirst + kCount; k += 4) {
      const int8x16_t words = vld1q_s8(q[t] + 4 * k);
      sums[t] = vdotq_laneq_s32(sums[t], w[k], words, 0);
      sums[t] = vdotq_laneq_s32(sums[t], w[k + 1], words, 1);
      sums[t] = vdotq_laneq_s32(sums[t], w[k + 2], words, 2);
      sums[t] = vdotq_laneq_s32(sums[t], w[k + 3], words, 3);
    }
  }
}
#endif

}  // namespace
}  // namespace shoal
