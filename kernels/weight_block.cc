#include "kernels/weight_block.h"

#include "kernels/block_parts.h"
#include "kernels/scalar_math.h"

namespace shoal {
namespace {

// A file's blocks are packed: reads them at any alignment.
template <typename Block>
Block Load(const std::byte* row, int64_t index) {
  Block block;
  __builtin_memcpy(&block, row + index * static_cast<int64_t>(sizeof(Block)), sizeof(Block));
  return block;
}

void ReadNibbles(const uint8_t* bytes, int shift, int offset, int n, int8_t* out) {
  for (int i = 0; i < n; ++i) out[i] = static_cast<int8_t>(((bytes[i] >> shift) & 0xF) - offset);
}

void SetScale(WeightBlock* out, float scale) { out->scale[0] = out->scale[1] = scale; }

WeightBlock ReadQ8_0(const BlockQ8_0& block) {
  WeightBlock out{};
  __builtin_memcpy(out.q, block.q, sizeof(out.q));
  SetScale(&out, F32FromF16(block.d));
  return out;
}

WeightBlock ReadQ4_0(const BlockQ4_0& block) {
  WeightBlock out{};
  ReadNibbles(block.q, 0, 8, 16, out.q);
  ReadNibbles(block.q, 4, 8, 16, out.q + 16);
  SetScale(&out, F32FromF16(block.d));
  return out;
}

// Q4_K, and what Q5_K has in common with it.
template <typename Block>
WeightBlock ReadQ4_K(const Block& block, int sub) {
  uint8_t scales[8];
  uint8_t mins[8];
  UnpackQ4KScales(block.scales, scales, mins);
  WeightBlock out{};
  ReadNibbles(block.q + 32 * (sub / 2), 4 * (sub % 2), 0, 32, out.q);
  SetScale(&out, F32FromF16(block.d) * static_cast<float>(scales[sub]));
  out.min[0] = out.min[1] = F32FromF16(block.dmin) * static_cast<float>(mins[sub]);
  return out;
}

WeightBlock ReadQ5_K(const BlockQ5_K& block, int sub) {
  WeightBlock out = ReadQ4_K(block, sub);
  for (int i = 0; i < 32; ++i) {
    out.q[i] = static_cast<int8_t>(out.q[i] | ((block.qh[i] >> sub) & 1) << 4);
  }
  return out;
}

// A half of 128 values has four runs of 32: runs 0 and 1 in low nibbles, 2 and 3 in high ones; run
// r's upper bits are bits 2r and 2r + 1 of qh.
WeightBlock ReadQ6_K(const BlockQ6_K& block, int sub) {
  const int half = sub / 4;
  const int run = sub % 4;
  const uint8_t* ql = block.ql + 64 * half + 32 * (run % 2);
  const uint8_t* qh = block.qh + 32 * half;
  WeightBlock out{};
  for (int i = 0; i < 32; ++i) {
    const int low = (ql[i] >> (4 * (run / 2))) & 0xF;
    const int high = (qh[i] >> (2 * run)) & 0x3;
    out.q[i] = static_cast<int8_t>((low | high << 4) - 32);
  }
  const float d = F32FromF16(block.d);
  for (int i = 0; i < 2; ++i) out.scale[i] = d * static_cast<float>(block.scales[2 * sub + i]);
  return out;
}

// 16 bytes in Q4_0's order, nibbles looked up.
void ReadTable(const uint8_t* bytes, const int8_t* values, int8_t* out) {
  for (int i = 0; i < 16; ++i) {
    out[i] = values[bytes[i] & 0xF];
    out[i + 16] = values[bytes[i] >> 4];
  }
}

WeightBlock ReadIQ4_XS(const BlockIQ4_XS& block, int sub) {
  WeightBlock out{};
  ReadTable(block.q + 16 * sub, kIQ4Values, out.q);
  SetScale(&out, F32FromF16(block.d) * static_cast<float>(IQ4XSScale(block, sub)));
  return out;
}

WeightBlock ReadMXFP4(const BlockMXFP4& block) {
  WeightBlock out{};
  ReadTable(block.q, kMXFP4Values, out.q);
  SetScale(&out, HalfOfE8M0(block.e));
  return out;
}

WeightBlock ReadTQ2_0(const BlockTQ2_0& block, int sub) {
  const uint8_t* q = block.q + 32 * (sub / 4);
  WeightBlock out{};
  for (int i = 0; i < 32; ++i) out.q[i] = static_cast<int8_t>(((q[i] >> (2 * (sub % 4))) & 3) - 1);
  SetScale(&out, F32FromF16(block.d));
  return out;
}

WeightBlock FromParts(DType dtype, const BlockParts& parts) {
  const CodedValues* coded = FindCodedValues(dtype);
  const float factor = coded == nullptr ? 1.0F : coded->factor;
  WeightBlock out{};
  __builtin_memcpy(out.q, parts.q, sizeof(out.q));
  for (int h = 0; h < 2; ++h) {
    out.scale[h] = F32FromF16(parts.d[h]) * static_cast<float>(parts.scale[h]) * factor;
    out.min[h] = F32FromF16(parts.dmin) * static_cast<float>(parts.min[h]);
  }
  return out;
}

}  // namespace

void UnpackQ4KScales(const uint8_t packed[12], uint8_t scales[8], uint8_t mins[8]) {
  for (int i = 0; i < 4; ++i) {
    scales[i] = packed[i] & 63;
    mins[i] = packed[i + 4] & 63;
    scales[i + 4] = static_cast<uint8_t>((packed[i + 8] & 0xF) | (packed[i] >> 6) << 4);
    mins[i + 4] = static_cast<uint8_t>((packed[i + 8] >> 4) | (packed[i + 4] >> 6) << 4);
  }
}

int8_t IQ4XSScale(const BlockIQ4_XS& block, int sub) {
  const int low = (block.scales_l[sub / 2] >> (4 * (sub % 2))) & 0xF;
  const int high = (block.scales_h >> (2 * sub)) & 3;
  return static_cast<int8_t>((low | high << 4) - 32);
}

WeightBlock ReadWeightBlock(DType dtype, const std::byte* row, int64_t block) {
  const int sub = static_cast<int>(block % 8);
  switch (dtype) {
    case DType::kQ8_0:
      return ReadQ8_0(Load<BlockQ8_0>(row, block));
    case DType::kQ4_0:
      return ReadQ4_0(Load<BlockQ4_0>(row, block));
    case DType::kQ4_K:
      return ReadQ4_K(Load<BlockQ4_K>(row, block / 8), sub);
    case DType::kQ6_K:
      return ReadQ6_K(Load<BlockQ6_K>(row, block / 8), sub);
    case DType::kQ5_K:
      return ReadQ5_K(Load<BlockQ5_K>(row, block / 8), sub);
    case DType::kIQ4_XS:
      return ReadIQ4_XS(Load<BlockIQ4_XS>(row, block / 8), sub);
    case DType::kMXFP4:
      return ReadMXFP4(Load<BlockMXFP4>(row, block));
    case DType::kTQ2_0:
      return ReadTQ2_0(Load<BlockTQ2_0>(row, block / 8), sub);
    default:
      return FromParts(dtype, ReadBlockParts(dtype, row, block));
  }
}

void DequantizeBlock(const WeightBlock& block, float* out) {
  for (int i = 0; i < 32; ++i) {
    out[i] = block.scale[i / 16] * static_cast<float>(block.q[i]) - block.min[i / 16];
  }
}

}  // namespace shoal
