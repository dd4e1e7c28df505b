#include "kernels/row_groups.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/matmul.h"
#include "kernels/scalar_math.h"
#include "kernels/weight_block.h"

namespace shoal::grouped {
namespace {

int64_t GroupBytes(DType dtype, int64_t cols) {
  switch (dtype) {
    case DType::kQ8_0:
      return (cols + 63) / 64 * static_cast<int64_t>(sizeof(GroupQ8));
    case DType::kQ4_0:
      return (cols + 63) / 64 * static_cast<int64_t>(sizeof(GroupQ4));
    case DType::kQ4_K:
      return cols / 256 * static_cast<int64_t>(sizeof(GroupQ4K));
    case DType::kQ6_K:
      return cols / 256 * static_cast<int64_t>(sizeof(GroupQ6K));
    case DType::kQ5_K:
      return cols / 256 * static_cast<int64_t>(sizeof(GroupQ5K));
    case DType::kIQ4_XS:
      return cols / 256 * static_cast<int64_t>(sizeof(GroupIQ4XS));
    case DType::kMXFP4:
      return (cols + 127) / 128 * static_cast<int64_t>(sizeof(GroupMXFP4));
    case DType::kTQ2_0:
      return cols / 256 * static_cast<int64_t>(sizeof(GroupTQ2));
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
      break;
  }
  SHOAL_CHECK(Traits(dtype).quantized);
  return 0;
}

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
      PackNibbles(values, r, &group.q[sub].lower);
      for (int i = 0; i < 4; ++i) {
        int bits = 0;
        for (int k = 0; k < 8; ++k) bits |= (values[4 * k + i] >> 4) << k;
        group.q[sub].upper[r][i] = static_cast<uint8_t>(bits);
      }
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

void PackRow(DType dtype, const std::byte* src, int64_t cols, int64_t r, std::byte* group) {
  switch (dtype) {
    case DType::kQ8_0:
      return PackQ8Row(src, cols / 32, r, group);
    case DType::kQ4_0:
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
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
      break;
  }
}

int Nibble(const Nibbles& q, int64_t r, int element) {
  const int in_half = element % 16;
  return (q.word[in_half / 4][r][in_half % 4] >> (4 * (element / 16))) & 0xF;
}

int TwoBitsOf(const TwoBits& q, int64_t r, int element) {
  return (q[element / 16][r][element % 4] >> (2 * (element % 16 / 4))) & 3;
}

// One scale over all 32.
void SetScale(WeightBlock* out, float scale) { out->scale[0] = out->scale[1] = scale; }

WeightBlock ReadQ8(const GroupQ8& group, int64_t r, int64_t b) {
  WeightBlock out{};
  for (int i = 0; i < 32; ++i) {
    out.q[i] = static_cast<int8_t>(group.q[b].word[i / 4][r][i % 4] - 128);
  }
  SetScale(&out, F32FromF16(group.d[b][r]));
  return out;
}

WeightBlock ReadQ4(const GroupQ4& group, int64_t r, int64_t b) {
  WeightBlock out{};
  for (int i = 0; i < 32; ++i) out.q[i] = static_cast<int8_t>(Nibble(group.q[b], r, i) - 8);
  SetScale(&out, F32FromF16(group.d[b][r]));
  return out;
}

// What Q4_K and Q5_K have in common.
template <typename Group>
void ReadScaleAndMin(const Group& group, int64_t r, int64_t sub, WeightBlock* out) {
  SetScale(out, F32FromF16(group.d[r]) * static_cast<float>(group.scale[sub][r]));
  out->min = F32FromF16(group.dmin[r]) * static_cast<float>(group.min[sub][r]);
}

WeightBlock ReadQ4K(const GroupQ4K& group, int64_t r, int64_t sub) {
  WeightBlock out{};
  for (int i = 0; i < 32; ++i) out.q[i] = static_cast<int8_t>(Nibble(group.q[sub], r, i));
  ReadScaleAndMin(group, r, sub, &out);
  return out;
}

WeightBlock ReadQ5K(const GroupQ5K& group, int64_t r, int64_t sub) {
  WeightBlock out{};
  for (int i = 0; i < 32; ++i) {
    const int upper = (group.q[sub].upper[r][i % 4] >> (i / 4)) & 1;
    out.q[i] = static_cast<int8_t>(Nibble(group.q[sub].lower, r, i) | upper << 4);
  }
  ReadScaleAndMin(group, r, sub, &out);
  return out;
}

WeightBlock ReadIQ4XS(const GroupIQ4XS& group, int64_t r, int64_t sub) {
  WeightBlock out{};
  for (int i = 0; i < 32; ++i) out.q[i] = kIQ4Values[Nibble(group.q[sub], r, i)];
  SetScale(&out, F32FromF16(group.d[r]) * static_cast<float>(group.scale[sub][r]));
  return out;
}

WeightBlock ReadMXFP4(const GroupMXFP4& group, int64_t r, int64_t b) {
  WeightBlock out{};
  for (int i = 0; i < 32; ++i) out.q[i] = kMXFP4Values[Nibble(group.q[b], r, i)];
  SetScale(&out, HalfOfE8M0(group.e[b][r]));
  return out;
}

WeightBlock ReadTQ2(const GroupTQ2& group, int64_t r, int64_t sub) {
  WeightBlock out{};
  for (int i = 0; i < 32; ++i) out.q[i] = static_cast<int8_t>(TwoBitsOf(group.q[sub], r, i) - 1);
  SetScale(&out, F32FromF16(group.d[r]));
  return out;
}

WeightBlock ReadQ6K(const GroupQ6K& group, int64_t r, int64_t sub) {
  WeightBlock out{};
  for (int i = 0; i < 32; ++i) {
    const int upper = TwoBitsOf(group.q[sub].upper, r, i);
    out.q[i] = static_cast<int8_t>((Nibble(group.q[sub].lower, r, i) | upper << 4) - 32);
  }
  const float d = F32FromF16(group.d[r]);
  for (int h = 0; h < 2; ++h) {
    out.scale[h] = d * static_cast<float>(group.scale[2 * sub + h][r]);
  }
  return out;
}

WeightBlock ReadBlock(const PackedView& w, int64_t row, int64_t b) {
  const std::byte* group = w.data + row / kPackRows * GroupBytes(w.dtype, w.cols);
  const int64_t r = row % kPackRows;
  switch (w.dtype) {
    case DType::kQ8_0:
      return ReadQ8(reinterpret_cast<const GroupQ8*>(group)[b / 2], r, b % 2);
    case DType::kQ4_0:
      return ReadQ4(reinterpret_cast<const GroupQ4*>(group)[b / 2], r, b % 2);
    case DType::kQ4_K:
      return ReadQ4K(reinterpret_cast<const GroupQ4K*>(group)[b / 8], r, b % 8);
    case DType::kQ5_K:
      return ReadQ5K(reinterpret_cast<const GroupQ5K*>(group)[b / 8], r, b % 8);
    case DType::kIQ4_XS:
      return ReadIQ4XS(reinterpret_cast<const GroupIQ4XS*>(group)[b / 8], r, b % 8);
    case DType::kMXFP4:
      return ReadMXFP4(reinterpret_cast<const GroupMXFP4*>(group)[b / 4], r, b % 4);
    case DType::kTQ2_0:
      return ReadTQ2(reinterpret_cast<const GroupTQ2*>(group)[b / 8], r, b % 8);
    default:
      return ReadQ6K(reinterpret_cast<const GroupQ6K*>(group)[b / 8], r, b % 8);
  }
}

}  // namespace

int64_t PackedBytes(DType dtype, int64_t rows, int64_t cols) {
  if (!Traits(dtype).quantized) return scalar::PackedBytes(dtype, rows, cols);
  return (rows + kPackRows - 1) / kPackRows * GroupBytes(dtype, cols);
}

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

void UnpackRow(const PackedView& w, int64_t row, float* out) {
  if (!Traits(w.dtype).quantized) return scalar::UnpackRow(w, row, out);
  for (int64_t b = 0; b < w.cols / 32; ++b) DequantizeBlock(ReadBlock(w, row, b), out + 32 * b);
}

void MatmulDequantized(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end,
                       float* y, int64_t y_stride) {
  SHOAL_CHECK(Traits(w.dtype).quantized);
  SHOAL_CHECK(x.f32 != nullptr);
  constexpr int kTile = 16;  // Rows of x per pass over the weights.
  for (int64_t i = 0; i < x.n_rows; i += kTile) {
    const int64_t n_tile = std::min<int64_t>(kTile, x.n_rows - i);
    for (int64_t n = row_begin; n < row_end; ++n) {
      Lanes16 lanes[kTile];
      for (int64_t b = 0; b < w.cols / 32; ++b) {
        float weights[32];
        DequantizeBlock(ReadBlock(w, n, b), weights);
        for (int64_t t = 0; t < n_tile; ++t) {
          const int64_t r = x.row_map == nullptr ? i + t : x.row_map[i + t];
          lanes[t].AddProducts(weights, x.f32 + r * x.f32_stride + 32 * b, 32);
        }
      }
      for (int64_t t = 0; t < n_tile; ++t) y[(i + t) * y_stride + n] = lanes[t].Sum();
    }
  }
}

}  // namespace shoal::grouped
