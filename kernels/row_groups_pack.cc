#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>
#include <utility>

#include "base/check.h"
#include "kernels/block_parts.h"
#include "kernels/matmul.h"
#include "kernels/row_group_types.h"
#include "kernels/scalar_math.h"
#include "kernels/weight_block.h"

namespace shoal::grouped {
namespace {

// PackBlock: one block of a file, of row r, into its group; `at`: which of the group's it is. What
// consists of words it leaves row by row, [kPackRows][words]; Turn then puts them in place, 16
// bytes at a time.
void PackBlock(const BlockQ8_0& block, int64_t r, int64_t at, GroupQ8* group) {
  group->d[at][r] = block.d;
  std::byte* row = reinterpret_cast<std::byte*>(&group->q[at]) + r * 32;
  for (int k = 0; k < 8; ++k) {
    uint32_t word;
    std::memcpy(&word, block.q + 4 * k, 4);
    word ^= 0x80808080U;  // value + 128 in each byte.
    std::memcpy(row + 4 * k, &word, 4);
  }
}

// 16 bytes in Q4_0's order are words already.
void CopyNibbles(const uint8_t* bytes, int64_t r, Nibbles* out) {
  std::memcpy(reinterpret_cast<std::byte*>(out) + r * 16, bytes, 16);
}

void PackBlock(const BlockQ4_0& block, int64_t r, int64_t at, GroupQ4* group) {
  group->d[at][r] = block.d;
  CopyNibbles(block.q, r, &group->q[at]);
}

// 32 unsigned values of a byte each, so that a few operations on words do for all. Shifts move no
// bit into a neighbour where the values are as small as they must be.
using Words = std::array<uint32_t, 8>;

constexpr uint32_t InEachByte(uint32_t value) { return value * 0x01010101U; }

// Bits [shift, shift + n_bits) of each of 32 bytes.
Words BitsOf(const uint8_t* bytes, int shift, int n_bits) {
  Words words;
  std::memcpy(words.data(), bytes, sizeof(words));
  for (uint32_t& word : words) word = (word >> shift) & InEachByte((1U << n_bits) - 1);
  return words;
}

// The integers of 32 weights plus `offset`.
Words Unsigned(const int8_t* q, int offset) {
  uint8_t bytes[32];
  for (int i = 0; i < 32; ++i) bytes[i] = static_cast<uint8_t>(q[i] + offset);
  return BitsOf(bytes, 0, 8);
}

// The low four bits of each.
void PackNibbles(const Words& values, int64_t r, Nibbles* out) {
  uint32_t words[4];
  for (int k = 0; k < 4; ++k) {
    words[k] = (values[k] & InEachByte(0xF)) | (values[k + 4] & InEachByte(0xF)) << 4;
  }
  CopyNibbles(reinterpret_cast<const uint8_t*>(words), r, out);
}

// Values of two bits.
void PackTwoBits(const Words& values, int64_t r, TwoBits& out) {
  for (int h = 0; h < 2; ++h) {
    uint32_t word = 0;
    for (int t = 0; t < 4; ++t) word |= values[4 * h + t] << (2 * t);
    std::memcpy(out[h][r], &word, sizeof(word));
  }
}

// Values of one bit.
void PackFifthBits(const Words& values, int64_t r, FiveBits* out) {
  uint32_t word = 0;
  for (int k = 0; k < 8; ++k) word |= values[k] << k;
  std::memcpy(out->upper[r], &word, sizeof(word));
}

// Values of five bits.
void PackFiveBits(Words values, int64_t r, FiveBits* out) {
  PackNibbles(values, r, &out->lower);
  for (uint32_t& word : values) word = (word >> 4) & InEachByte(1);
  PackFifthBits(values, r, out);
}

// What Q4_K and Q5_K have in common.
template <typename Block, typename Group>
void PackScalesAndMins(const Block& block, int64_t r, Group* group) {
  uint8_t scales[8];
  uint8_t mins[8];
  UnpackQ4KScales(block.scales, scales, mins);
  group->d[r] = block.d;
  group->dmin[r] = block.dmin;
  for (int sub = 0; sub < 8; ++sub) {
    group->scale[sub][r] = scales[sub];
    group->min[sub][r] = mins[sub];
  }
}

// Calls body(sub) with the eight sub-blocks of a block of 256 as constants, so that shifts are too.
template <typename Body>
void ForSubBlocks(Body body) {
  [&]<int... kSub>(std::integer_sequence<int, kSub...>) {
    (body(std::integral_constant<int, kSub>()), ...);
  }
  (std::make_integer_sequence<int, 8>());
}

// The low four bits of a sub-block's values: a sub-block in low nibbles, the next in high ones.
Words LowBits(const uint8_t* q, int sub) { return BitsOf(q + 32 * (sub / 2), 4 * (sub % 2), 4); }

void PackBlock(const BlockQ4_K& block, int64_t r, int64_t /*at*/, GroupQ4K* group) {
  PackScalesAndMins(block, r, group);
  ForSubBlocks([&](auto sub) { PackNibbles(LowBits(block.q, sub), r, &group->q[sub]); });
}

void PackBlock(const BlockQ5_K& block, int64_t r, int64_t /*at*/, GroupQ5K* group) {
  PackScalesAndMins(block, r, group);
  ForSubBlocks([&](auto sub) {
    PackNibbles(LowBits(block.q, sub), r, &group->q[sub].lower);
    PackFifthBits(BitsOf(block.qh, sub, 1), r, &group->q[sub]);
  });
}

// A half of 128 values has four runs of 32: runs 0 and 1 in low nibbles, 2 and 3 in high ones.
void PackBlock(const BlockQ6_K& block, int64_t r, int64_t /*at*/, GroupQ6K* group) {
  group->d[r] = block.d;
  for (int i = 0; i < 16; ++i) group->scale[i][r] = block.scales[i];
  ForSubBlocks([&](auto sub) {
    const int half = sub / 4;
    const int run = sub % 4;
    const uint8_t* ql = block.ql + 64 * half + 32 * (run % 2);
    PackNibbles(BitsOf(ql, 4 * (run / 2), 4), r, &group->q[sub].lower);
    PackTwoBits(BitsOf(block.qh + 32 * half, 2 * run, 2), r, group->q[sub].upper);
  });
}

void PackBlock(const BlockIQ4_XS& block, int64_t r, int64_t /*at*/, GroupIQ4XS* group) {
  group->d[r] = block.d;
  for (int sub = 0; sub < 8; ++sub) {
    group->scale[sub][r] = IQ4XSScale(block, sub);
    CopyNibbles(block.q + 16 * sub, r, &group->q[sub]);
  }
}

void PackBlock(const BlockMXFP4& block, int64_t r, int64_t at, GroupMXFP4* group) {
  group->e[at][r] = block.e;
  CopyNibbles(block.q, r, &group->q[at]);
}

void PackBlock(const BlockTQ2_0& block, int64_t r, int64_t /*at*/, GroupTQ2* group) {
  group->d[r] = block.d;
  ForSubBlocks([&](auto sub) {
    PackTwoBits(BitsOf(block.q + 32 * (sub / 4), 2 * (sub % 4), 2), r, group->q[sub]);
  });
}

void PackBlock(const BlockParts& parts, int64_t r, int64_t at, GroupQ2* group) {
  group->d[at][r] = parts.d[0];
  PackTwoBits(Unsigned(parts.q, 1), r, group->q[at]);
}

void PackBlock(const BlockParts& parts, int64_t r, int64_t at, GroupTQ2* group) {
  group->d[r] = parts.d[0];
  PackTwoBits(Unsigned(parts.q, 1), r, group->q[at]);
}

void PackBlock(const BlockParts& parts, int64_t r, int64_t at, GroupQ4Min* group) {
  group->d[at][r] = parts.d[0];
  group->dmin[at][r] = parts.dmin;
  PackNibbles(Unsigned(parts.q, 0), r, &group->q[at]);
}

void PackBlock(const BlockParts& parts, int64_t r, int64_t at, GroupQ5* group) {
  group->d[at][r] = parts.d[0];
  PackFiveBits(Unsigned(parts.q, 16), r, &group->q[at]);
}

void PackBlock(const BlockParts& parts, int64_t r, int64_t at, GroupQ5Min* group) {
  group->d[at][r] = parts.d[0];
  group->dmin[at][r] = parts.dmin;
  PackFiveBits(Unsigned(parts.q, 0), r, &group->q[at]);
}

void PackBlock(const BlockParts& parts, int64_t r, int64_t at, GroupQ2K* group) {
  group->d[r] = parts.d[0];
  group->dmin[r] = parts.dmin;
  for (int h = 0; h < 2; ++h) {
    group->scale[2 * at + h][r] = parts.scale[h];
    group->min[2 * at + h][r] = parts.min[h];
  }
  PackTwoBits(Unsigned(parts.q, 0), r, group->q[at]);
}

// Which of sixteen values a weight is.
struct ValueIndex {
  constexpr explicit ValueIndex(const int8_t (&values)[16]) : of() {
    for (int i = 15; i >= 0; --i) of[values[i] + 128] = static_cast<uint8_t>(i);
  }
  uint8_t of[256];
};

void PackIndices(const BlockParts& parts, const ValueIndex& index, int64_t r, Nibbles* out) {
  int8_t indices[32];
  for (int i = 0; i < 32; ++i) indices[i] = static_cast<int8_t>(index.of[parts.q[i] + 128]);
  PackNibbles(Unsigned(indices, 0), r, out);
}

void PackBlock(const BlockParts& parts, int64_t r, int64_t at, GroupNVFP4* group) {
  static constexpr ValueIndex kIndex(kMXFP4Values);
  for (int h = 0; h < 2; ++h) group->d[2 * at + h][r] = parts.d[h];
  PackIndices(parts, kIndex, r, &group->q[at]);
}

struct CodedParts {
  BlockParts parts;
  const CodedValues& coded;
  const ValueIndex& index;
};

template <int kScales>
void PackBlock(const CodedParts& block, int64_t r, int64_t at, GroupCoded<kScales>* group) {
  group->d[r] = block.parts.d[0];
  group->factor = block.coded.factor;
  for (int i = 0; i < 16; ++i) {
    group->table[i] = static_cast<uint8_t>(block.coded.values[i] + group->kOffset);
  }
  for (int h = 0; h < kScales / 8; ++h) {
    group->scale[kScales / 8 * at + h][r] = block.parts.scale[h];
  }
  PackIndices(block.parts, block.index, r, &group->q[at]);
}

using FourWords = uint32_t __attribute__((vector_size(16), may_alias));

// words: [kPackRows, kWords] to [kWords, kPackRows].
template <int kWords>
void TurnWords(void* words) {
  FourWords rows[kPackRows][kWords / 4];
  std::memcpy(rows, words, sizeof(rows));
  auto* out = static_cast<FourWords*>(words);  // [kWords][kPackRows / 4]
  for (int c = 0; c < kWords / 4; ++c) {
    for (int r = 0; r < kPackRows; r += 4) {
      const FourWords low01 = __builtin_shufflevector(rows[r][c], rows[r + 1][c], 0, 4, 1, 5);
      const FourWords low23 = __builtin_shufflevector(rows[r + 2][c], rows[r + 3][c], 0, 4, 1, 5);
      const FourWords high01 = __builtin_shufflevector(rows[r][c], rows[r + 1][c], 2, 6, 3, 7);
      const FourWords high23 = __builtin_shufflevector(rows[r + 2][c], rows[r + 3][c], 2, 6, 3, 7);
      FourWords* column = out + 4 * c * (kPackRows / 4) + r / 4;
      column[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
      column[4] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
      column[8] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
      column[12] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
    }
  }
}

void Turn(Nibbles* q) { TurnWords<4>(q); }
void Turn(Bytes* q) { TurnWords<8>(q); }
void Turn(FiveBits* q) { Turn(&q->lower); }
void Turn(SixBits* q) { Turn(&q->lower); }
void Turn(TwoBits* /*q*/) {}  // Not words; in place already.

// Up to 16 rows of a file.
struct FileRows {
  DType dtype;
  int64_t n_rows;
  int64_t cols;
  int64_t row_bytes;
  const std::byte* src;
};

// read(row, b): block b of a row. Block by block rather than row by row, so that a group is written
// from front to back.
template <typename Read>
void PackBlocks(const FileRows& rows, int64_t block_elems, Read read, std::byte* packed) {
  WithGroup(rows.dtype, [&]<typename Group>(Group* group) {
    if constexpr (requires { PackBlock(read(rows.src, 0), 0, 0, group); }) {
      const int64_t in_group = kBlocksOf<Group> * 32 / block_elems;
      for (int64_t b = 0; b < rows.cols / block_elems; ++b) {
        group = reinterpret_cast<Group*>(packed) + b / in_group;
        for (int64_t r = 0; r < rows.n_rows; ++r) {
          PackBlock(read(rows.src + r * rows.row_bytes, b), r, b % in_group, group);
        }
        const int64_t n_turned = block_elems / 32;
        for (int64_t i = 0; i < n_turned; ++i) Turn(&group->q[b % in_group * n_turned + i]);
      }
    }
  });
}

// Blocks are read where they lie: a copy of one waits for the stores that made it.
template <typename Block>
void PackStored(const FileRows& rows, std::byte* packed) {
  SHOAL_CHECK(reinterpret_cast<uintptr_t>(rows.src) % alignof(Block) == 0);
  const auto read = [](const std::byte* row, int64_t b) -> const Block& {
    return reinterpret_cast<const Block*>(row)[b];
  };
  PackBlocks(rows, Traits(rows.dtype).block_elems, read, packed);
}

void PackGroup(const FileRows& rows, std::byte* packed) {
  switch (rows.dtype) {
    case DType::kQ8_0:
      return PackStored<BlockQ8_0>(rows, packed);
    case DType::kQ4_0:
    case DType::kIQ4_NL:
      return PackStored<BlockQ4_0>(rows, packed);
    case DType::kQ4_K:
      return PackStored<BlockQ4_K>(rows, packed);
    case DType::kQ6_K:
      return PackStored<BlockQ6_K>(rows, packed);
    case DType::kQ5_K:
      return PackStored<BlockQ5_K>(rows, packed);
    case DType::kIQ4_XS:
      return PackStored<BlockIQ4_XS>(rows, packed);
    case DType::kMXFP4:
      return PackStored<BlockMXFP4>(rows, packed);
    case DType::kTQ2_0:
      return PackStored<BlockTQ2_0>(rows, packed);
    default:
      break;
  }
  const auto read = [&](const std::byte* row, int64_t b) {
    return ReadBlockParts(rows.dtype, row, b);
  };
  const CodedValues* coded = FindCodedValues(rows.dtype);
  if (coded == nullptr) return PackBlocks(rows, 32, read, packed);
  const ValueIndex index(coded->values);
  const auto read_coded = [&](const std::byte* row, int64_t b) {
    return CodedParts{read(row, b), *coded, index};
  };
  PackBlocks(rows, 32, read_coded, packed);
}

}  // namespace

void PackRows(DType dtype, int64_t rows, int64_t cols, int64_t first_row, int64_t n_rows,
              const std::byte* src, std::byte* packed) {
  if (!Traits(dtype).quantized) {
    return scalar::PackRows(dtype, rows, cols, first_row, n_rows, src, packed);
  }
  SHOAL_CHECK(first_row % kPackRows == 0);
  const int64_t row_bytes = RowBytes(dtype, cols);
  const int64_t group_bytes = GroupBytes(dtype, cols);
  for (int64_t i = 0; i < n_rows; i += kPackRows) {
    std::byte* const group = packed + (first_row + i) / kPackRows * group_bytes;
    const int64_t n = std::min<int64_t>(kPackRows, n_rows - i);
    if (n < kPackRows) std::memset(group, 0, static_cast<size_t>(group_bytes));
    PackGroup({dtype, n, cols, row_bytes, src + i * row_bytes}, group);
  }
}

}  // namespace shoal::grouped
