#pragma once

#include <cstddef>
#include <cstdint>

#include "model/dtype.h"

namespace shoal {

// 32 consecutive weights of any block-quantized type, in the one form that products use:
//   value[i] = scale[i / 16] * q[i] - min.
// The factors are exact: an f16 times an integer of at most 8 bits fits f32.
struct WeightBlock {
  int8_t q[32];
  float scale[2];
  float min;
};

// Block `block` (of 32 columns) of a row in file order. dtype is a quantized type.
WeightBlock ReadWeightBlock(DType dtype, const std::byte* row, int64_t block);

// The weights themselves, each rounded once. out: [32].
void DequantizeBlock(const WeightBlock& block, float* out);

// The eight 6-bit scales and minima of a Q4_K or Q5_K block.
void UnpackQ4KScales(const uint8_t packed[12], uint8_t scales[8], uint8_t mins[8]);

// A sub-block's scale less 32, in [-32, 31].
int8_t IQ4XSScale(const BlockIQ4_XS& block, int sub);

}  // namespace shoal
