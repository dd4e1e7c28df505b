#pragma once

#include <cstddef>
#include <cstdint>

#include "model/dtype.h"

namespace shoal {

// 32 consecutive weights of a file's block, as integers and the f16 bits that they are multiplied
// with: what a file holds, in one form that packing can take apart again.
//   value[i] = d[i / 16] * factor * scale[i / 16] * q[i] - dmin * min[i / 16]
struct BlockParts {
  int8_t q[32];
  uint16_t d[2];
  uint16_t dmin;
  int8_t scale[2];
  uint8_t min[2];
};

// Weights of this type are one of sixteen values, times `factor`, a power of two.
struct CodedValues {
  int8_t values[16];
  float factor;
};

// Of the types whose blocks of 256 have an f16 and integers as scales; nullptr for others.
const CodedValues* FindCodedValues(DType dtype);

// Whether ReadBlockParts knows the type: all quantized ones that kernels/weight_block.cc does not
// read itself.
bool HasBlockParts(DType dtype);

// Block `block` (of 32 columns) of a row in file order, which begins at an even address.
BlockParts ReadBlockParts(DType dtype, const std::byte* row, int64_t block);

}  // namespace shoal
