#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/block_parts.h"
#include "kernels/matmul.h"
#include "kernels/row_group_types.h"
#include "kernels/scalar_math.h"
#include "kernels/weight_block.h"

namespace shoal::grouped {
namespace {

void PackQ8Row(const std::byte* src, int64_t n_blocks, int64_t r, std::byte* packed) {
  for (int64_t b = 0; b < n_blocks; ++b) {
    BlockQ8_0 block;
    std::memcpy(&block, src + b * static_cast<int64_t>(sizeof(block)), sizeof(block));
    GroupQ8& group = reinterpret_cast<GroupQ8*>(packed)[b / 2];
    group.d[b % 2][r] = block.d;
    for (int k = 0; k < 8; ++k) {
      uint32_t word;
      std::memcpy(&word, block.q + 4 * k, 4);
      word ^= 0x80808080U;  // value + 128 in each byte.
      std::memcpy(group.q[b % 2].word[k][r], &word, 4);
    }
  }
}

// 16 bytes in Q4_0's order are words already.
void CopyNibbles(const uint8_t* bytes, int64_t r, Nibbles* out) {
  for (int k = 0; k < 4; ++k) std::memcpy(out->word[k][r], bytes + 4 * k, 4);
}

void PackQ4Row(const std::byte* src, int64_t n_blocks, int64_t r, std::byte* packed) {
  for (int64_t b = 0; b < n_blocks; ++b) {
    BlockQ4_0 block;
    std::memcpy(&block, src + b * static_cast<int64_t>(sizeof(block)), sizeof(block));
    GroupQ4& group = reinterpret_cast<GroupQ4*>(packed)[b / 2];
    group.d[b % 2][r] = block.d;
    CopyNibbles(block.q, r, &group.q[b % 2]);
  }
}

// values: 32 unsigned ones, of which the low four bits are kept.
void PackNibbles(const uint8_t* values, int64_t r, Nibbles* out) {
  for (int k = 0; k < 4; ++k) {
    for (int i = 0; i < 4; ++i) {
      const int e = 4 * k + i;
      out->word[k][r][i] = static_cast<uint8_t>((values[e] & 0xF) | values[e + 16] << 4);
    }
  }
}

// values: 32 of two bits.
void PackTwoBits(const uint8_t* values, int64_t r, TwoBits& out) {
  for (int h = 0; h < 2; ++h) {
    for (int i = 0; i < 4; ++i) {
      int bits = 0;
      for (int t = 0; t < 4; ++t) bits |= values[16 * h + 4 * t + i] << (2 * t);
      out[h][r][i] = static_cast<uint8_t>(bits);
    }
  }
}

// values: 32 of five bits.
void PackFiveBits(const uint8_t* values, int64_t r, FiveBits* out) {
  PackNibbles(values, r, &out->lower);
  for (int i = 0; i < 4; ++i) {
    int bits = 0;
    for (int k = 0; k < 8; ++k) bits |= (values[4 * k + i] >> 4) << k;
    out->upper[r][i] = static_cast<uint8_t>(bits);
  }
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

void PackQ4KRow(const std::byte* src, int64_t n_super, int64_t r, std::byte* packed) {
  for (int64_t s = 0; s < n_super; ++s) {
    BlockQ4_K block;
    std::memcpy(&block, src + s * static_cast<int64_t>(sizeof(block)), sizeof(block));
    GroupQ4K& group = reinterpret_cast<GroupQ4K*>(packed)[s];
    PackScalesAndMins(block, r, &group);
    for (int sub = 0; sub < 8; ++sub) {
      uint8_t values[32];
      for (int i = 0; i < 32; ++i) values[i] = block.q[32 * (sub / 2) + i] >> (4 * (sub % 2));
      PackNibbles(values, r, &group.q[sub]);
    }
  }
}

void PackQ6KRow(const std::byte* src, int64_t n_super, int64_t r, std::byte* packed) {
  for (int64_t s = 0; s < n_super; ++s) {
    BlockQ6_K block;
    std::memcpy(&block, src + s * static_cast<int64_t>(sizeof(block)), sizeof(block));
    GroupQ6K& group = reinterpret_cast<GroupQ6K*>(packed)[s];
    group.d[r] = block.d;
    for (int i = 0; i < 16; ++i) group.scale[i][r] = block.scales[i];
    for (int sub = 0; sub < 8; ++sub) {
      const WeightBlock w = ReadWeightBlock(DType::kQ6_K, src, s * 8 + sub);
      uint8_t values[32];
      for (int i = 0; i < 32; ++i) values[i] = static_cast<uint8_t>(w.q[i] + 32);
      PackNibbles(values, r, &group.q[sub].lower);
      for (uint8_t& value : values) value >>= 4;
      PackTwoBits(values, r, group.q[sub].upper);
    }
  }
}

void PackQ5KRow(const std::byte* src, int64_t n_super, int64_t r, std::byte* packed) {
  for (int64_t s = 0; s < n_super; ++s) {
    BlockQ5_K block;
    std::memcpy(&block, src + s * static_cast<int64_t>(sizeof(block)), sizeof(block));
    GroupQ5K& group = reinterpret_cast<GroupQ5K*>(packed)[s];
    PackScalesAndMins(block, r, &group);
    for (int sub = 0; sub < 8; ++sub) {
      const WeightBlock w = ReadWeightBlock(DType::kQ5_K, src, s * 8 + sub);
      uint8_t values[32];
      for (int i = 0; i < 32; ++i) values[i] = static_cast<uint8_t>(w.q[i]);
      PackFiveBits(values, r, &group.q[sub]);
    }
  }
}

void PackIQ4XSRow(const std::byte* src, int64_t n_super, int64_t r, std::byte* packed) {
  for (int64_t s = 0; s < n_super; ++s) {
    BlockIQ4_XS block;
    std::memcpy(&block, src + s * static_cast<int64_t>(sizeof(block)), sizeof(block));
    GroupIQ4XS& group = reinterpret_cast<GroupIQ4XS*>(packed)[s];
    group.d[r] = block.d;
    for (int sub = 0; sub < 8; ++sub) {
      group.scale[sub][r] = IQ4XSScale(block, sub);
      CopyNibbles(block.q + 16 * sub, r, &group.q[sub]);
    }
  }
}

void PackMXFP4Row(const std::byte* src, int64_t n_blocks, int64_t r, std::byte* packed) {
  for (int64_t b = 0; b < n_blocks; ++b) {
    BlockMXFP4 block;
    std::memcpy(&block, src + b * static_cast<int64_t>(sizeof(block)), sizeof(block));
    GroupMXFP4& group = reinterpret_cast<GroupMXFP4*>(packed)[b / 4];
    group.e[b % 4][r] = block.e;
    CopyNibbles(block.q, r, &group.q[b % 4]);
  }
}

void PackTQ2Row(const std::byte* src, int64_t n_super, int64_t r, std::byte* packed) {
  for (int64_t s = 0; s < n_super; ++s) {
    BlockTQ2_0 block;
    std::memcpy(&block, src + s * static_cast<int64_t>(sizeof(block)), sizeof(block));
    GroupTQ2& group = reinterpret_cast<GroupTQ2*>(packed)[s];
    group.d[r] = block.d;
    for (int sub = 0; sub < 8; ++sub) {
      const WeightBlock w = ReadWeightBlock(DType::kTQ2_0, src, s * 8 + sub);
      uint8_t values[32];
      for (int i = 0; i < 32; ++i) values[i] = static_cast<uint8_t>(w.q[i] + 1);
      PackTwoBits(values, r, group.q[sub]);
    }
  }
}

// A file's integers plus `offset`.
struct Unsigned {
  Unsigned(const BlockParts& parts, int offset) {
    for (int i = 0; i < 32; ++i) values[i] = static_cast<uint8_t>(parts.q[i] + offset);
  }
  uint8_t values[32];
};

void PackParts(const BlockParts& parts, int64_t r, int64_t b, GroupQ2* group) {
  group->d[b][r] = parts.d[0];
  PackTwoBits(Unsigned(parts, 1).values, r, group->q[b]);
}

void PackParts(const BlockParts& parts, int64_t r, int64_t b, GroupTQ2* group) {
  group->d[r] = parts.d[0];
  PackTwoBits(Unsigned(parts, 1).values, r, group->q[b]);
}

void PackParts(const BlockParts& parts, int64_t r, int64_t b, GroupQ4Min* group) {
  group->d[b][r] = parts.d[0];
  group->dmin[b][r] = parts.dmin;
  PackNibbles(Unsigned(parts, 0).values, r, &group->q[b]);
}

void PackParts(const BlockParts& parts, int64_t r, int64_t b, GroupQ5* group) {
  group->d[b][r] = parts.d[0];
  PackFiveBits(Unsigned(parts, 16).values, r, &group->q[b]);
}

void PackParts(const BlockParts& parts, int64_t r, int64_t b, GroupQ5Min* group) {
  group->d[b][r] = parts.d[0];
  group->dmin[b][r] = parts.dmin;
  PackFiveBits(Unsigned(parts, 0).values, r, &group->q[b]);
}

void PackParts(const BlockParts& parts, int64_t r, int64_t b, GroupQ2K* group) {
  group->d[r] = parts.d[0];
  group->dmin[r] = parts.dmin;
  for (int h = 0; h < 2; ++h) {
    group->scale[2 * b + h][r] = parts.scale[h];
    group->min[2 * b + h][r] = parts.min[h];
  }
  PackTwoBits(Unsigned(parts, 0).values, r, group->q[b]);
}

// Weights as indices of the sixteen values that they are.
void PackIndices(const BlockParts& parts, const int8_t* values, int64_t r, Nibbles* out) {
  uint8_t indices[32];
  for (int i = 0; i < 32; ++i) {
    indices[i] = static_cast<uint8_t>(std::find(values, values + 16, parts.q[i]) - values);
  }
  PackNibbles(indices, r, out);
}

void PackParts(const BlockParts& parts, int64_t r, int64_t b, GroupNVFP4* group) {
  for (int h = 0; h < 2; ++h) group->d[2 * b + h][r] = parts.d[h];
  PackIndices(parts, kMXFP4Values, r, &group->q[b]);
}

template <int kScales>
void PackParts(const BlockParts& parts, const CodedValues& coded, int64_t r, int64_t b,
               GroupCoded<kScales>* group) {
  group->d[r] = parts.d[0];
  group->factor = coded.factor;
  for (int i = 0; i < 16; ++i) {
    group->table[i] = static_cast<uint8_t>(coded.values[i] + group->kOffset);
  }
  for (int h = 0; h < kScales / 8; ++h) group->scale[kScales / 8 * b + h][r] = parts.scale[h];
  PackIndices(parts, coded.values, r, &group->q[b]);
}

void PackRowOfParts(DType dtype, const std::byte* src, int64_t n_blocks, int64_t r,
                    std::byte* packed) {
  const CodedValues* coded = FindCodedValues(dtype);
  WithGroup(dtype, [&]<typename Group>(Group*) {
    for (int64_t b = 0; b < n_blocks; ++b) {
      const BlockParts parts = ReadBlockParts(dtype, src, b);
      const int64_t in_group = b % kBlocksOf<Group>;
      Group* group = reinterpret_cast<Group*>(packed) + b / kBlocksOf<Group>;
      if constexpr (requires { PackParts(parts, *coded, r, in_group, group); }) {
        PackParts(parts, *coded, r, in_group, group);
      } else if constexpr (requires { PackParts(parts, r, in_group, group); }) {
        PackParts(parts, r, in_group, group);
      }
    }
  });
}

void PackRow(DType dtype, const std::byte* src, int64_t cols, int64_t r, std::byte* group) {
  switch (dtype) {
    case DType::kQ8_0:
      return PackQ8Row(src, cols / 32, r, group);
    case DType::kQ4_0:
    case DType::kIQ4_NL:
      return PackQ4Row(src, cols / 32, r, group);
    case DType::kQ4_K:
      return PackQ4KRow(src, cols / 256, r, group);
    case DType::kQ6_K:
      return PackQ6KRow(src, cols / 256, r, group);
    case DType::kQ5_K:
      return PackQ5KRow(src, cols / 256, r, group);
    case DType::kIQ4_XS:
      return PackIQ4XSRow(src, cols / 256, r, group);
    case DType::kMXFP4:
      return PackMXFP4Row(src, cols / 32, r, group);
    case DType::kTQ2_0:
      return PackTQ2Row(src, cols / 256, r, group);
    default:
      return PackRowOfParts(dtype, src, cols / 32, r, group);
  }
}

}  // namespace

void PackRows(DType dtype, int64_t rows, int64_t cols, int64_t first_row, int64_t n_rows,
              const std::byte* src, std::byte* packed) {
  if (!Traits(dtype).quantized) {
    return scalar::PackRows(dtype, rows, cols, first_row, n_rows, src, packed);
  }
  SHOAL_CHECK(first_row % kPackRows == 0);
  const int64_t group_bytes = GroupBytes(dtype, cols);
  for (int64_t i = 0; i < n_rows; ++i) {
    const int64_t row = first_row + i;
    std::byte* group = packed + row / kPackRows * group_bytes;
    if (i % kPackRows == 0 && n_rows - i < kPackRows) {
      std::memset(group, 0, static_cast<size_t>(group_bytes));
    }
    PackRow(dtype, src + i * RowBytes(dtype, cols), cols, row % kPackRows, group);
  }
}

}  // namespace shoal::grouped
