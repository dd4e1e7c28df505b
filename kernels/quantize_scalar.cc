#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "kernels/quantize.h"
#include "kernels/scalar_math.h"

namespace shoal::scalar {
namespace {

constexpr uint32_t kInfinityBits = 0x7F800000U;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Bits of the largest magnitude; integers, so that a NaN counts as larger than all numbers.
uint32_t MaxMagnitudeBits(const float* x, int64_t n) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    largest = std::max(largest, std::bit_cast<uint32_t>(x[i]) & 0x7FFFFFFFU);
  }
  return largest;
}

float QuantizeBlock(const float* x, int64_t n, int8_t* q) {
  std::memset(q, 0, kActivationBlock);
  const uint32_t bits = MaxMagnitudeBits(x, n);
  if (bits >= kInfinityBits) return kNan;
  const float amax = std::bit_cast<float>(bits);
  if (amax < 0x1p-100F) return 0.0F;
  const float inv = 127.0F / amax;
  for (int64_t i = 0; i < n; ++i) q[i] = static_cast<int8_t>(RoundToInt(x[i] * inv));
  return amax / 127.0F;
}

}  // namespace

void QuantizeRow(const float* x, int64_t n, int8_t* q, float* scales) {
  for (int64_t begin = 0; begin < n; begin += kActivationBlock) {
    const int64_t len = std::min<int64_t>(kActivationBlock, n - begin);
    scales[begin / kActivationBlock] = QuantizeBlock(x + begin, len, q + begin);
  }
}

void EncodeF16Row(const float* x, int64_t n, uint16_t* out, float* row_scale) {
  const uint32_t bits = MaxMagnitudeBits(x, n);
  if (bits == 0 || bits >= kInfinityBits) {
    std::fill(out, out + n, uint16_t{0});
    *row_scale = bits == 0 ? 1.0F : kNan;
    return;
  }
  // A subnormal amax has exponent field 0; the bound of -126 holds for it as well.
  const int exponent = std::max(static_cast<int>(bits >> 23) - 127 - 14, -126);
  *row_scale = PowerOfTwo(exponent);
  const float inv = PowerOfTwo(-exponent);
  for (int64_t i = 0; i < n; ++i) out[i] = F16FromF32(x[i] * inv);
}

void DecodeF16Row(const uint16_t* x, int64_t n, float row_scale, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = F32FromF16(x[i]) * row_scale;
}

void StoreKv(const float* x, int64_t n, KvType type, void* out) {
  switch (type) {
    case KvType::kF32:
      std::memcpy(out, x, static_cast<size_t>(n) * sizeof(float));
      return;
    case KvType::kF16: {
      auto* half = static_cast<uint16_t*>(out);
      for (int64_t i = 0; i < n; ++i) half[i] = F16FromF32(x[i]);
      return;
    }
    case KvType::kQ8_0: {
      auto* block = static_cast<BlockQ8_0*>(out);
      for (int64_t i = 0; i < n; i += kActivationBlock, ++block) {
        float scale;
        QuantizeRow(x + i, std::min<int64_t>(n - i, kActivationBlock), block->q, &scale);
        block->d = F16FromF32(scale);
      }
      return;
    }
  }
}

}  // namespace shoal::scalar
