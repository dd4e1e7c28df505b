#pragma once

#include <cstddef>
#include <cstdint>

#include "model/dtype.h"

namespace shoal {

// 32 consecutive weights of any block-quantized type, in the one form that products use:
//   value[i] = scale[i / 16] * q[i] - min[i / 16].
// The factors are exact: an f16 times an integer of at most 8 bits fits f32.
struct WeightBlock {
  int8_t q[32];
  float scale[2];
  float min[2];
};

// Whether products have a step for each 16 elements, or one for all 32.
constexpr bool ScalesHalves(DType dtype) {
  switch (dtype) {
    case DType::kQ6_K:
    case DType::kQ2_K:
    case DType::kQ3_K:
    case DType::kIQ2_XS:
    case DType::kIQ2_S:
    case DType::kIQ1_M:
    case DType::kNVFP4:
      return true;
    default:
      return false;
  }
}

// Whether anything is ever taken off.
constexpr bool HasMins(DType dtype) {
  switch (dtype) {
    case DType::kQ4_K:
    case DType::kQ5_K:
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ2_K:
      return true;
    default:
      return false;
  }
}

// Block `block` (of 32 columns) of a row in file order. dtype is a quantized type.
WeightBlock ReadWeightBlock(DType dtype, const std::byte* row, int64_t block);

// The weights themselves, each rounded once. out: [32].
void DequantizeBlock(const WeightBlock& block, float* out);

// The eight 6-bit scales and minima of a Q4_K or Q5_K block.
void UnpackQ4KScales(const uint8_t packed[12], uint8_t scales[8], uint8_t mins[8]);

// A sub-block's scale less 32, in [-32, 31].
int8_t IQ4XSScale(const BlockIQ4_XS& block, int sub);

}  // namespace shoal
