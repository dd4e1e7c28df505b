#pragma once

#include <stdint.h>

#include "kernels/quantize.h"

// What rounding of rows is for every instruction set but how a block is rounded. For files of
// instruction sets alone; private to each.
namespace shoal {
namespace {

constexpr int32_t kInfinityBits = 0x7F800000;

inline float FloatFromBits(int32_t bits) {
  float x;
  __builtin_memcpy(&x, &bits, sizeof(x));
  return x;
}

// QuantizeRow out of quantize_block(x, q, scale), which rounds a whole block.
template <typename QuantizeBlock>
inline void QuantizeBlocks(const float* x, int64_t n, int8_t* q, float* scales,
                           QuantizeBlock quantize_block) {
  int64_t b = 0;
  for (; (b + 1) * kActivationBlock <= n; ++b) {
    quantize_block(x + b * kActivationBlock, q + b * kActivationBlock, scales + b);
  }
  const int64_t left = n - b * kActivationBlock;
  if (left > 0) {
    float tail[kActivationBlock] = {};
    __builtin_memcpy(tail, x + b * kActivationBlock, static_cast<size_t>(left) * sizeof(float));
    quantize_block(tail, q + b * kActivationBlock, scales + b);
  }
}

// EncodeF16Row of a row whose largest magnitude has the bits `largest`, out of
// encode(x, n, factor, out): out = f16(x * factor).
template <typename Encode>
inline void EncodeScaledRow(int32_t largest, const float* x, int64_t n, uint16_t* out,
                            float* row_scale, Encode encode) {
  if (largest == 0 || largest >= kInfinityBits) {
    __builtin_memset(out, 0, static_cast<size_t>(n) * sizeof(uint16_t));
    *row_scale = largest == 0 ? 1.0F : __builtin_nanf("");
    return;
  }
  const int32_t exponent = (largest >> 23) - 127 - 14 > -126 ? (largest >> 23) - 127 - 14 : -126;
  *row_scale = FloatFromBits((127 + exponent) << 23);
  encode(x, n, FloatFromBits((127 - exponent) << 23), out);
}

// StoreKv out of the two above.
template <typename QuantizeBlock, typename Encode>
inline void StoreRow(const float* x, int64_t n, KvType type, void* out,
                     QuantizeBlock quantize_block, Encode encode) {
  switch (type) {
    case KvType::kF32:
      __builtin_memcpy(out, x, static_cast<size_t>(n) * sizeof(float));
      return;
    case KvType::kF16:
      return encode(x, n, 1.0F, static_cast<uint16_t*>(out));
    case KvType::kQ8_0:
      auto* block = static_cast<BlockQ8_0*>(out);
      for (int64_t i = 0; i < n; i += 32, ++block) {
        float scale;
        QuantizeBlocks(x + i, n - i < 32 ? n - i : 32, block->q, &scale, quantize_block);
        encode(&scale, 1, 1.0F, &block->d);
      }
      return;
  }
}

}  // namespace
}  // namespace shoal
