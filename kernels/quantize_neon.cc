#include <arm_neon.h>
#include <stdint.h>

#include "kernels/quantize_rows.h"

namespace shoal::neon {
namespace {

inline int32x4_t MagnitudeBits(float32x4_t x) { return vreinterpretq_s32_f32(vabsq_f32(x)); }

// One whole block.
inline void QuantizeBlock(const float* x, int8_t* q, float* scale) {
  float32x4_t v[8];
  int32x4_t largest = vdupq_n_s32(0);
  for (int i = 0; i < 8; ++i) {
    v[i] = vld1q_f32(x + 4 * i);
    largest = vmaxq_s32(largest, MagnitudeBits(v[i]));
  }
  const int32_t bits = vmaxvq_s32(largest);
  const float amax = FloatFromBits(bits);
  if (bits >= kInfinityBits || amax < 0x1p-100F) {
    __builtin_memset(q, 0, kActivationBlock);
    *scale = bits >= kInfinityBits ? __builtin_nanf("") : 0.0F;
    return;
  }
  const float inv = 127.0F / amax;
  int16x4_t n[8];
  for (int i = 0; i < 8; ++i) n[i] = vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(v[i], inv)));
  for (int i = 0; i < 8; i += 2) vst1_s8(q + 4 * i, vmovn_s16(vcombine_s16(n[i], n[i + 1])));
  *scale = amax / 127.0F;
}

int32_t MaxMagnitudeBits(const float* x, int64_t n) {
  int32x4_t largest = vdupq_n_s32(0);
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) largest = vmaxq_s32(largest, MagnitudeBits(vld1q_f32(x + i)));
  if (i < n) {
    float tail[4] = {};
    __builtin_memcpy(tail, x + i, static_cast<size_t>(n - i) * sizeof(float));
    largest = vmaxq_s32(largest, MagnitudeBits(vld1q_f32(tail)));
  }
  return vmaxvq_s32(largest);
}

// out = f16(x * factor), half to even.
void EncodeF16(const float* x, int64_t n, float factor, uint16_t* out) {
  const auto encode = [factor](const float* from) {
    return vreinterpret_u16_f16(vcvt_f16_f32(vmulq_n_f32(vld1q_f32(from), factor)));
  };
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) vst1_u16(out + i, encode(x + i));
  if (i < n) {
    float tail[4] = {};
    uint16_t half[4];
    __builtin_memcpy(tail, x + i, static_cast<size_t>(n - i) * sizeof(float));
    vst1_u16(half, encode(tail));
    __builtin_memcpy(out + i, half, static_cast<size_t>(n - i) * sizeof(uint16_t));
  }
}

}  // namespace

void QuantizeRow(const float* x, int64_t n, int8_t* q, float* scales) {
  QuantizeBlocks(x, n, q, scales, QuantizeBlock);
}

void EncodeF16Row(const float* x, int64_t n, uint16_t* out, float* row_scale) {
  EncodeScaledRow(MaxMagnitudeBits(x, n), x, n, out, row_scale, EncodeF16);
}

void DecodeF16Row(const uint16_t* x, int64_t n, float row_scale, float* out) {
  const auto decode = [row_scale](const uint16_t* from) {
    return vmulq_n_f32(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from))), row_scale);
  };
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) vst1q_f32(out + i, decode(x + i));
  if (i < n) {
    uint16_t half[4] = {};
    float tail[4];
    __builtin_memcpy(half, x + i, static_cast<size_t>(n - i) * sizeof(uint16_t));
    vst1q_f32(tail, decode(half));
    __builtin_memcpy(out + i, tail, static_cast<size_t>(n - i) * sizeof(float));
  }
}

void StoreKv(const float* x, int64_t n, KvType type, void* out) {
  StoreRow(x, n, type, out, QuantizeBlock, EncodeF16);
}

}  // namespace shoal::neon
