#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"

// The order of quantized weights that vector kernels read: groups of 16 rows, so that each 32-bit
// lane of a register is one row. Per block of 32 columns a group has "words": word k of a row is
// its elements 4k to 4k + 3, and word k of all rows stands together, 64 bytes. Nothing is rounded;
// rows that a matrix lacks in its last group are zeros. Float weights stay in file order.
//
// A group is an array of one of the structs below, each of which holds as many blocks as its q has
// elements; the last may hold fewer. All are multiples of 64 bytes, so that no word straddles cache
// lines, and are read from front to back, scales first: behind the words they cost a sixth of the
// bandwidth that a product with one row reaches, in an array of their own a third.
namespace shoal {

// Byte i of word k holds elements 4k + i (low nibble) and 16 + 4k + i (high nibble).
struct Nibbles {
  uint8_t word[4][kPackRows][4];
};
struct Bytes {
  uint8_t word[8][kPackRows][4];
};
// Byte i of [h], bits 2t and 2t + 1, belong to element 16h + 4t + i.
using TwoBits = uint8_t[2][kPackRows][4];
struct GroupQ4 {  // A nibble is value + 8, or of IQ4_NL an index of kIQ4Values.
  uint16_t d[2][kPackRows];
  Nibbles q[2];
};
struct GroupQ8 {  // A byte is value + 128.
  uint16_t d[2][kPackRows];
  Bytes q[2];
};
struct GroupQ4K {
  uint16_t d[kPackRows];
  uint16_t dmin[kPackRows];
  uint8_t scale[8][kPackRows];
  uint8_t min[8][kPackRows];
  Nibbles q[8];
};
struct SixBits {  // Of value + 32.
  Nibbles lower;
  TwoBits upper;
};
struct GroupQ6K {
  uint16_t d[kPackRows];
  uint8_t padding[32];
  int8_t scale[16][kPackRows];
  SixBits q[8];
};
struct FiveBits {  // Byte i of upper, bit k, belongs to element 4k + i.
  Nibbles lower;
  uint8_t upper[kPackRows][4];
};
struct GroupQ5K {
  uint16_t d[kPackRows];
  uint16_t dmin[kPackRows];
  uint8_t scale[8][kPackRows];
  uint8_t min[8][kPackRows];
  FiveBits q[8];
};
struct GroupIQ4XS {  // A nibble is an index of kIQ4Values; scales have their 32 taken off.
  uint16_t d[kPackRows];
  uint8_t padding[32];
  int8_t scale[8][kPackRows];
  Nibbles q[8];
};
struct GroupMXFP4 {  // A nibble is an index of kMXFP4Values.
  uint8_t e[4][kPackRows];
  Nibbles q[4];
};
struct GroupTQ2 {  // Two bits are value + 1: TQ1_0 too.
  uint16_t d[kPackRows];
  uint8_t padding[32];
  TwoBits q[8];
};
struct GroupQ2 {  // The same with a factor a block: Q1_0 and Q2_0.
  uint16_t d[2][kPackRows];
  TwoBits q[2];
};
struct GroupQ4Min {  // Q4_1.
  uint16_t d[2][kPackRows];
  uint16_t dmin[2][kPackRows];
  Nibbles q[2];
};
struct GroupQ5 {  // Five bits are value + 16.
  uint16_t d[2][kPackRows];
  FiveBits q[2];
};
struct GroupQ5Min {  // Q5_1.
  uint16_t d[2][kPackRows];
  uint16_t dmin[2][kPackRows];
  FiveBits q[2];
};
struct GroupQ2K {
  uint16_t d[kPackRows];
  uint16_t dmin[kPackRows];
  int8_t scale[16][kPackRows];
  uint8_t min[16][kPackRows];
  TwoBits q[8];
};
struct GroupNVFP4 {  // A nibble is an index of kMXFP4Values; d is half of a scale.
  uint16_t d[4][kPackRows];
  Nibbles q[2];
};
// Q3_K and IQ1 to IQ3: weights of at most sixteen values, by their index in a table, with 8 or 16
// scales. Their files need less, but not less than one such group can be read quickly from.
template <int kScales>
struct GroupCoded {
  static constexpr int kOffset = 64;
  uint16_t d[kPackRows];
  uint8_t table[16];  // Values + kOffset.
  float factor;       // Of d.
  uint8_t padding[12];
  int8_t scale[kScales][kPackRows];
  Nibbles q[8];
};
static_assert(sizeof(GroupQ4) == 576 && sizeof(GroupQ8) == 1088);
static_assert(sizeof(GroupQ4K) == 2368 && sizeof(GroupQ6K) == 3392);
static_assert(sizeof(GroupQ5K) == 2880 && sizeof(GroupIQ4XS) == 2240);
static_assert(sizeof(GroupMXFP4) == 1088 && sizeof(GroupTQ2) == 1088);
static_assert(sizeof(GroupQ2) == 320 && sizeof(GroupQ4Min) == 640);
static_assert(sizeof(GroupQ5) == 704 && sizeof(GroupQ5Min) == 768);
static_assert(sizeof(GroupQ2K) == 1600 && sizeof(GroupNVFP4) == 640);
static_assert(sizeof(GroupCoded<8>) == 2240 && sizeof(GroupCoded<16>) == 2368);

namespace grouped {

int64_t PackedBytes(DType dtype, int64_t rows, int64_t cols);
void PackRows(DType dtype, int64_t rows, int64_t cols, int64_t first_row, int64_t n_rows,
              const std::byte* src, std::byte* packed);
void UnpackRow(const PackedView& w, int64_t row, float* out);

}  // namespace grouped
}  // namespace shoal
