#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"

// How rows of activations are rounded. Contracts (docs/arithmetic.md sections 3 and 4):
//
// QuantizeRow: x [n] f32 to int8 blocks of 32; q has ceil(n / 32) * 32 elements, the last filled up
// with zeros; scales has one f32 a block. amax = largest |x| of the block;
// q = rint(x * (127 / amax)), half to even; scale = amax / 127. A block with amax < 2^-100 is
// zeros with scale 0; one that holds an infinity or a NaN is zeros with scale NaN, so that what it
// takes part in is NaN. q is never -128.
//
// EncodeF16Row: x [n] f32 to f16 with one power-of-two scale a row, x ~ out * row_scale. With
// 2^k <= amax < 2^(k+1): row_scale = 2^max(k - 14, -126), out = f16(x / row_scale), half to even.
// A row of zeros has scale 1; one with an infinity or a NaN is zeros with scale NaN.
// DecodeF16Row: out = f32(x) * row_scale.
//
// StoreKv: x [n] f32 as the cache stores it: f32 unchanged; f16, half to even, 65520 and above as
// infinity; or BlockQ8_0s: QuantizeRow, its scales then as f16.
namespace shoal {

namespace scalar {
void QuantizeRow(const float* x, int64_t n, int8_t* q, float* scales);
void EncodeF16Row(const float* x, int64_t n, uint16_t* out, float* row_scale);
void DecodeF16Row(const uint16_t* x, int64_t n, float row_scale, float* out);
void StoreKv(const float* x, int64_t n, KvType type, void* out);
}  // namespace scalar

namespace avx2 {  // AVX-512 machines take these too: rounding waits for memory.
void QuantizeRow(const float* x, int64_t n, int8_t* q, float* scales);
void EncodeF16Row(const float* x, int64_t n, uint16_t* out, float* row_scale);
void DecodeF16Row(const uint16_t* x, int64_t n, float row_scale, float* out);
void StoreKv(const float* x, int64_t n, KvType type, void* out);
}  // namespace avx2

namespace neon {
void QuantizeRow(const float* x, int64_t n, int8_t* q, float* scales);
void EncodeF16Row(const float* x, int64_t n, uint16_t* out, float* row_scale);
void DecodeF16Row(const uint16_t* x, int64_t n, float row_scale, float* out);
void StoreKv(const float* x, int64_t n, KvType type, void* out);
}  // namespace neon

}  // namespace shoal
