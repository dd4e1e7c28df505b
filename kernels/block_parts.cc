#include "kernels/block_parts.h"

#include <bit>
#include <span>

#include "base/check.h"
#include "kernels/iq_grids.h"
#include "kernels/scalar_math.h"

namespace shoal {
namespace {

constexpr int8_t kIQ2Magnitudes[4] = {8, 25, 43, 0};
constexpr int8_t kIQ3XXSMagnitudes[8] = {4, 12, 20, 28, 36, 44, 52, 62};
constexpr int8_t kIQ3SMagnitudes[8] = {1, 3, 5, 7, 9, 11, 13, 15};

constexpr CodedValues kQ3KValues = {{-4, -3, -2, -1, 0, 1, 2, 3}, 1.0F};
constexpr CodedValues kIQ1Values = {{-9, -7, -1, 1, 7, 9}, 0.125F};
constexpr CodedValues kIQ2Values = {{-43, -25, -8, 8, 25, 43}, 0.125F};
constexpr CodedValues kIQ3XXSValues = {
    {-62, -52, -44, -36, -28, -20, -12, -4, 4, 12, 20, 28, 36, 44, 52, 62}, 0.25F};
constexpr CodedValues kIQ3SValues = {{-15, -13, -11, -9, -7, -5, -3, -1, 1, 3, 5, 7, 9, 11, 13, 15},
                                     1.0F};

// Where it lies: a copy of a block for each of its parts would cost more than reading them.
template <typename Block>
const Block& At(const std::byte* row, int64_t index) {
  return reinterpret_cast<const Block*>(row)[index];
}

int Bit(std::span<const uint8_t> bits, int i) { return (bits[i / 8] >> (i % 8)) & 1; }

int NibbleOf(std::span<const uint8_t> bytes, int i) { return (bytes[i / 2] >> (4 * (i % 2))) & 15; }

// One factor for all 32.
BlockParts WithScale(uint16_t d) {
  return {.q = {}, .d = {d, d}, .dmin = 0, .scale = {1, 1}, .min = {}};
}

// Nibbles in Q4_0's order.
void ReadNibbles(const uint8_t* bytes, int8_t* out) {
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<int8_t>(bytes[i] & 15);
    out[i + 16] = static_cast<int8_t>(bytes[i] >> 4);
  }
}

// The same with their upper bits, of which bit i is element i's.
void ReadFiveBits(const uint8_t* bytes, const uint8_t* upper, int8_t* out) {
  ReadNibbles(bytes, out);
  uint32_t bits;
  __builtin_memcpy(&bits, upper, sizeof(bits));
  for (int i = 0; i < 32; ++i) out[i] = static_cast<int8_t>(out[i] | ((bits >> i) & 1) << 4);
}

// Files add m where Q4_K takes dmin off.
uint16_t Negated(uint16_t f16) { return f16 ^ 0x8000U; }

BlockParts ReadQ4_1(const BlockQ4_1& block) {
  BlockParts out = WithScale(block.d);
  ReadNibbles(block.q, out.q);
  out.dmin = Negated(block.m);
  out.min[0] = out.min[1] = 1;
  return out;
}

BlockParts ReadQ5_0(const BlockQ5_0& block) {
  BlockParts out = WithScale(block.d);
  ReadFiveBits(block.q, block.qh, out.q);
  for (int8_t& q : out.q) q = static_cast<int8_t>(q - 16);
  return out;
}

BlockParts ReadQ5_1(const BlockQ5_1& block) {
  BlockParts out = WithScale(block.d);
  ReadFiveBits(block.q, block.qh, out.q);
  out.dmin = Negated(block.m);
  out.min[0] = out.min[1] = 1;
  return out;
}

BlockParts ReadIQ4_NL(const BlockIQ4_NL& block) {
  BlockParts out = WithScale(block.d);
  ReadNibbles(block.q, out.q);
  for (int8_t& q : out.q) q = kIQ4Values[q];
  return out;
}

// Sub-block `sub` of 64 bytes in TQ2_0's order.
int TwoBitsAt(const uint8_t* q, int sub, int i) {
  return (q[32 * (sub / 4) + i] >> (2 * (sub % 4))) & 3;
}

BlockParts ReadQ2_K(const BlockQ2_K& block, int sub) {
  BlockParts out = WithScale(block.d);
  for (int i = 0; i < 32; ++i) out.q[i] = static_cast<int8_t>(TwoBitsAt(block.q, sub, i));
  out.dmin = block.dmin;
  for (int h = 0; h < 2; ++h) {
    out.scale[h] = static_cast<int8_t>(block.scales[2 * sub + h] & 15);
    out.min[h] = block.scales[2 * sub + h] >> 4;
  }
  return out;
}

BlockParts ReadQ3_K(const BlockQ3_K& block, int sub) {
  BlockParts out = WithScale(block.d);
  for (int i = 0; i < 32; ++i) {
    const int upper = (block.qh[i] >> sub) & 1;
    out.q[i] = static_cast<int8_t>((TwoBitsAt(block.q, sub, i) | upper << 2) - 4);
  }
  for (int h = 0; h < 2; ++h) {
    const int s = 2 * sub + h;
    const int low = (block.scales[s % 8] >> (4 * (s / 8))) & 15;
    const int high = (block.scales[8 + s % 4] >> (2 * (s / 4))) & 3;
    out.scale[h] = static_cast<int8_t>((low | high << 4) - 32);
  }
  return out;
}

// Seven bits of signs; the eighth makes their number even.
int EightSigns(uint32_t seven) {
  seven &= 127;
  return static_cast<int>(seven | (static_cast<uint32_t>(std::popcount(seven)) & 1) << 7);
}

// Eight elements: two bits each of a grid's entry, with signs.
void ReadIQ2Entry(uint16_t entry, int signs, int8_t* out) {
  for (int i = 0; i < 8; ++i) {
    const int8_t magnitude = kIQ2Magnitudes[(entry >> (2 * i)) & 3];
    out[i] = static_cast<int8_t>((signs >> i) & 1 ? -magnitude : magnitude);
  }
}

// The same, three bits each of two entries.
void ReadIQ3Entries(uint16_t first, uint16_t second, const int8_t* magnitudes, int signs,
                    int8_t* out) {
  for (int i = 0; i < 8; ++i) {
    const int8_t magnitude = magnitudes[((i < 4 ? first : second) >> (3 * (i % 4))) & 7];
    out[i] = static_cast<int8_t>((signs >> i) & 1 ? -magnitude : magnitude);
  }
}

void SetOddScale(int sc, int half, BlockParts* out) {
  out->scale[half] = static_cast<int8_t>(2 * sc + 1);
}

BlockParts ReadIQ2_XXS(const BlockIQ2_XXS& block, int sub) {
  BlockParts out = WithScale(block.d);
  const uint8_t* q = block.q + 8 * sub;
  uint32_t rest;
  __builtin_memcpy(&rest, q + 4, sizeof(rest));
  for (int g = 0; g < 4; ++g) {
    ReadIQ2Entry(kGridIQ2_XXS[q[g]], EightSigns(rest >> (7 * g)), out.q + 8 * g);
  }
  for (int h = 0; h < 2; ++h) SetOddScale(static_cast<int>(rest >> 28), h, &out);
  return out;
}

BlockParts ReadIQ2_XS(const BlockIQ2_XS& block, int sub) {
  BlockParts out = WithScale(block.d);
  for (int g = 0; g < 4; ++g) {
    const uint16_t q = block.q[4 * sub + g];
    ReadIQ2Entry(kGridIQ2_XS[q & 511], EightSigns(q >> 9), out.q + 8 * g);
  }
  for (int h = 0; h < 2; ++h) SetOddScale(NibbleOf(block.scales, 2 * sub + h), h, &out);
  return out;
}

BlockParts ReadIQ2_S(const BlockIQ2_S& block, int sub) {
  BlockParts out = WithScale(block.d);
  for (int g = 0; g < 4; ++g) {
    const int index = block.q[4 * sub + g] | ((block.qh[sub] >> (2 * g)) & 3) << 8;
    ReadIQ2Entry(kGridIQ2_S[index], block.signs[4 * sub + g], out.q + 8 * g);
  }
  for (int h = 0; h < 2; ++h) SetOddScale(NibbleOf(block.scales, 2 * sub + h), h, &out);
  return out;
}

BlockParts ReadIQ3_XXS(const BlockIQ3_XXS& block, int sub) {
  BlockParts out = WithScale(block.d);
  const uint8_t* q = block.q + 8 * sub;
  uint32_t rest;
  __builtin_memcpy(&rest, block.signs_scales + 4 * sub, sizeof(rest));
  for (int g = 0; g < 4; ++g) {
    ReadIQ3Entries(kGridIQ3_XXS[q[2 * g]], kGridIQ3_XXS[q[2 * g + 1]], kIQ3XXSMagnitudes,
                   EightSigns(rest >> (7 * g)), out.q + 8 * g);
  }
  for (int h = 0; h < 2; ++h) SetOddScale(static_cast<int>(rest >> 28), h, &out);
  return out;
}

BlockParts ReadIQ3_S(const BlockIQ3_S& block, int sub) {
  BlockParts out = WithScale(block.d);
  const auto entry = [&](int i) {
    return kGridIQ3_S[block.q[8 * sub + i] | ((block.qh[sub] >> i) & 1) << 8];
  };
  for (int g = 0; g < 4; ++g) {
    ReadIQ3Entries(entry(2 * g), entry(2 * g + 1), kIQ3SMagnitudes, block.signs[4 * sub + g],
                   out.q + 8 * g);
  }
  for (int h = 0; h < 2; ++h) SetOddScale(NibbleOf(block.scales, sub), h, &out);
  return out;
}

// Eight elements in eighths: the entry's -1, 0 or 1, and an eighth more or less.
void ReadIQ1Entry(int index, bool less, int8_t* out) {
  for (int i = 0; i < 8; ++i) {
    const int value = ((kGridIQ1[index] >> (2 * i)) & 3) - 1;
    out[i] = static_cast<int8_t>(8 * value + (less ? -1 : 1));
  }
}

BlockParts ReadIQ1_S(const BlockIQ1_S& block, int sub) {
  BlockParts out = WithScale(block.d);
  const int qh = block.qh[sub];
  for (int g = 0; g < 4; ++g) {
    ReadIQ1Entry(block.q[4 * sub + g] | ((qh >> (3 * g)) & 7) << 8, (qh >> 15) != 0, out.q + 8 * g);
  }
  for (int h = 0; h < 2; ++h) SetOddScale((qh >> 12) & 7, h, &out);
  return out;
}

BlockParts ReadIQ1_M(const BlockIQ1_M& block, int sub) {
  int d = 0;
  for (int i = 0; i < 4; ++i) d |= (block.scales[i] >> 12) << (4 * i);
  BlockParts out = WithScale(static_cast<uint16_t>(d));
  for (int g = 0; g < 4; ++g) {
    const int upper = NibbleOf(block.qh, 4 * sub + g);
    ReadIQ1Entry(block.q[4 * sub + g] | (upper & 7) << 8, (upper >> 3) != 0, out.q + 8 * g);
  }
  for (int h = 0; h < 2; ++h) {
    SetOddScale((block.scales[sub / 2] >> (6 * (sub % 2) + 3 * h)) & 7, h, &out);
  }
  return out;
}

// Digit n of a byte: the byte times 3^n is a fraction of 256, of which it is the first place.
int Digit(uint8_t byte, int n) {
  constexpr int kPowers[5] = {1, 3, 9, 27, 81};
  return ((byte * kPowers[n] & 0xFF) * 3) >> 8;
}

BlockParts ReadTQ1_0(const BlockTQ1_0& block, int sub) {
  BlockParts out = WithScale(block.d);
  for (int i = 0; i < 32; ++i) {
    const int e = 32 * sub + i;
    int digit = 0;
    if (e < 160) {
      digit = Digit(block.q[e % 32], e / 32);
    } else if (e < 240) {
      digit = Digit(block.q[32 + (e - 160) % 16], (e - 160) / 16);
    } else {
      digit = Digit(block.qh[(e - 240) % 4], (e - 240) / 4);
    }
    out.q[i] = static_cast<int8_t>(digit - 1);
  }
  return out;
}

// Half of an unsigned E4M3 scale as f16, exact. Of its two spellings of "no number" the one without
// the idle upper bit is zero.
uint16_t HalfOfE4M3(uint8_t e) {
  if (e == 0x7F) return 0;
  const int exponent = (e >> 3) & 15;
  const int mantissa = e & 7;
  const float value = exponent == 0 ? static_cast<float>(mantissa) * 0x1p-10F
                                    : static_cast<float>(8 + mantissa) * PowerOfTwo(exponent - 11);
  return F16FromF32(value);
}

// `sub`: which 32 of the 64.
BlockParts ReadNVFP4(const BlockNVFP4& block, int sub) {
  BlockParts out = WithScale(0);
  for (int h = 0; h < 2; ++h) {
    out.d[h] = HalfOfE4M3(block.scales[2 * sub + h]);
    const uint8_t* q = block.q + 16 * sub + 8 * h;
    for (int i = 0; i < 16; ++i) {
      out.q[16 * h + i] = kMXFP4Values[(q[i % 8] >> (4 * (i / 8))) & 15];
    }
  }
  return out;
}

BlockParts ReadQ1_0(const BlockQ1_0& block, int sub) {
  BlockParts out = WithScale(block.d);
  for (int i = 0; i < 32; ++i) out.q[i] = static_cast<int8_t>(2 * Bit(block.q, 32 * sub + i) - 1);
  return out;
}

BlockParts ReadQ2_0(const BlockQ2_0& block, int sub) {
  BlockParts out = WithScale(block.d);
  for (int i = 0; i < 32; ++i) {
    out.q[i] = static_cast<int8_t>(((block.q[8 * sub + i / 4] >> (2 * (i % 4))) & 3) - 1);
  }
  return out;
}

}  // namespace

const CodedValues* FindCodedValues(DType dtype) {
  switch (dtype) {
    case DType::kQ3_K:
      return &kQ3KValues;
    case DType::kIQ1_S:
    case DType::kIQ1_M:
      return &kIQ1Values;
    case DType::kIQ2_XXS:
    case DType::kIQ2_XS:
    case DType::kIQ2_S:
      return &kIQ2Values;
    case DType::kIQ3_XXS:
      return &kIQ3XXSValues;
    case DType::kIQ3_S:
      return &kIQ3SValues;
    default:
      return nullptr;
  }
}

bool HasBlockParts(DType dtype) { return dtype > DType::kTQ2_0; }

BlockParts ReadBlockParts(DType dtype, const std::byte* row, int64_t block) {
  const int sub = static_cast<int>(block % 8);
  switch (dtype) {
    case DType::kQ4_1:
      return ReadQ4_1(At<BlockQ4_1>(row, block));
    case DType::kQ5_0:
      return ReadQ5_0(At<BlockQ5_0>(row, block));
    case DType::kQ5_1:
      return ReadQ5_1(At<BlockQ5_1>(row, block));
    case DType::kQ2_K:
      return ReadQ2_K(At<BlockQ2_K>(row, block / 8), sub);
    case DType::kQ3_K:
      return ReadQ3_K(At<BlockQ3_K>(row, block / 8), sub);
    case DType::kIQ4_NL:
      return ReadIQ4_NL(At<BlockIQ4_NL>(row, block));
    case DType::kIQ3_XXS:
      return ReadIQ3_XXS(At<BlockIQ3_XXS>(row, block / 8), sub);
    case DType::kIQ3_S:
      return ReadIQ3_S(At<BlockIQ3_S>(row, block / 8), sub);
    case DType::kIQ2_XXS:
      return ReadIQ2_XXS(At<BlockIQ2_XXS>(row, block / 8), sub);
    case DType::kIQ2_XS:
      return ReadIQ2_XS(At<BlockIQ2_XS>(row, block / 8), sub);
    case DType::kIQ2_S:
      return ReadIQ2_S(At<BlockIQ2_S>(row, block / 8), sub);
    case DType::kIQ1_S:
      return ReadIQ1_S(At<BlockIQ1_S>(row, block / 8), sub);
    case DType::kIQ1_M:
      return ReadIQ1_M(At<BlockIQ1_M>(row, block / 8), sub);
    case DType::kTQ1_0:
      return ReadTQ1_0(At<BlockTQ1_0>(row, block / 8), sub);
    case DType::kNVFP4:
      return ReadNVFP4(At<BlockNVFP4>(row, block / 2), sub % 2);
    case DType::kQ1_0:
      return ReadQ1_0(At<BlockQ1_0>(row, block / 4), sub % 4);
    case DType::kQ2_0:
      return ReadQ2_0(At<BlockQ2_0>(row, block / 2), sub % 2);
    default:
      break;
  }
  SHOAL_CHECK(HasBlockParts(dtype));
  return {};
}

}  // namespace shoal
