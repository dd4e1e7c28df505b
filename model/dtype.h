#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace shoal {

// Formats a weight can be stored in, in GGUF's block layouts. Manifests hold the numbers: new ones
// go to the end.
enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ8_0,
  kQ4_0,
  kQ4_K,
  kQ6_K,
  kQ5_K,
  kIQ4_XS,
  kMXFP4,
  kTQ2_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ2_K,
  kQ3_K,
  kIQ4_NL,
  kIQ3_XXS,
  kIQ3_S,
  kIQ2_XXS,
  kIQ2_XS,
  kIQ2_S,
  kIQ1_S,
  kIQ1_M,
  kTQ1_0,
  kNVFP4,
  kQ1_0,
  kQ2_0,
};
inline constexpr DType kLastDType = DType::kQ2_0;

struct DTypeTraits {
  std::string_view name;  // As GGUF spells it: "Q4_0".
  int block_elems;        // Elements of one block.
  int block_bytes;
  bool quantized;  // Products with it take int8 activations (docs/arithmetic.md).
};

// Block layouts; all fields little-endian, f16 as raw bits.
struct BlockQ8_0 {  // 32 values: d * q.
  uint16_t d;
  int8_t q[32];
};
struct BlockQ4_0 {  // 32 values: d * (nibble - 8); byte j holds elements j (low) and j + 16.
  uint16_t d;
  uint8_t q[16];
};
struct BlockQ4_K {  // 256 values in 8 sub-blocks of 32: d * sc * nibble - dmin * m.
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];  // Eight 6-bit scales and eight 6-bit minima, packed.
  uint8_t q[128];      // 64 values in 32 bytes: low nibbles are one sub-block, high ones the next.
};
struct BlockQ6_K {  // 256 values in 16 sub-blocks of 16: d * scale * (q - 32).
  uint8_t ql[128];  // Lower 4 bits.
  uint8_t qh[64];   // Upper 2 bits.
  int8_t scales[16];
  uint16_t d;
};
struct BlockQ5_K {  // As Q4_K, with values of 5 bits.
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t qh[32];  // Bit s of byte i: the upper bit of element i of sub-block s.
  uint8_t q[128];
};
struct BlockIQ4_XS {  // 256 values in 8 sub-blocks of 32: d * (sc - 32) * kIQ4Values[nibble].
  uint16_t d;
  uint16_t scales_h;    // Upper two bits of sub-block s's sc: bits 2s and 2s + 1.
  uint8_t scales_l[4];  // Lower four: two sub-blocks a byte, the low nibble first.
  uint8_t q[128];       // 16 bytes a sub-block, in Q4_0's order.
};
struct BlockMXFP4 {  // 32 values: 2^(e - 128) * kMXFP4Values[nibble], in Q4_0's order.
  uint8_t e;
  uint8_t q[16];
};
struct BlockTQ2_0 {  // 256 values: d * (two bits - 1).
  uint8_t q[64];     // 128 values in 32 bytes: bits 2t and 2t + 1 are elements 32t to 32t + 31.
  uint16_t d;
};
struct BlockQ4_1 {  // 32 values: d * nibble + m, in Q4_0's order.
  uint16_t d;
  uint16_t m;
  uint8_t q[16];
};
struct BlockQ5_0 {  // As Q4_0, with values of 5 bits: d * (q - 16).
  uint16_t d;
  uint8_t qh[4];  // Bit i: the upper bit of element i.
  uint8_t q[16];
};
struct BlockQ5_1 {  // d * q + m.
  uint16_t d;
  uint16_t m;
  uint8_t qh[4];
  uint8_t q[16];
};
struct BlockQ2_K {     // 256 values in 16 sub-blocks of 16: d * sc * two bits - dmin * m.
  uint8_t scales[16];  // sc in the low nibble, m in the high one.
  uint8_t q[64];       // In TQ2_0's order.
  uint16_t d;
  uint16_t dmin;
};
struct BlockQ3_K {     // 256 values in 16 sub-blocks of 16: d * (sc - 32) * (q - 4).
  uint8_t qh[32];      // Bit s of byte i: the upper bit of element 32s + i.
  uint8_t q[64];       // Lower two bits, in TQ2_0's order.
  uint8_t scales[12];  // Lower four bits in 8 bytes, sub-blocks 0 to 7 low; then the upper two.
  uint16_t d;
};
struct BlockIQ4_NL {  // 32 values: d * kIQ4Values[nibble], in Q4_0's order.
  uint16_t d;
  uint8_t q[16];
};
// IQ1 to IQ3: 256 values in 8 sub-blocks of 32. Indices (kernels/iq_grids.h) stand for 8 (IQ3: 4)
// magnitudes at once; signs are a bit an element, or 7 bits for 8 elements of even parity.
struct BlockIQ3_XXS {  // d * (2 * sc + 1) / 4 * magnitude.
  uint16_t d;
  uint8_t q[64];
  uint8_t signs_scales[32];  // 32 bits a sub-block: 4 x 7 of signs, 4 of sc.
};
struct BlockIQ3_S {  // d * (2 * sc + 1) * magnitude.
  uint16_t d;
  uint8_t q[64];
  uint8_t qh[8];
  uint8_t signs[32];
  uint8_t scales[4];
};
struct BlockIQ2_XXS {  // d * (2 * sc + 1) / 8 * magnitude.
  uint16_t d;
  uint8_t q[64];  // 8 bytes a sub-block: 4 indices, then as IQ3_XXS.
};
struct BlockIQ2_XS {  // As IQ2_XXS, a sc for each 16.
  uint16_t d;
  uint16_t q[32];  // 9 bits of index, 7 of signs.
  uint8_t scales[8];
};
struct BlockIQ2_S {  // The same with 10 bits of index.
  uint16_t d;
  uint8_t q[32];
  uint8_t signs[32];
  uint8_t qh[8];
  uint8_t scales[8];
};
struct BlockIQ1_S {  // d * (2 * sc + 1) * (-1, 0 or 1, and 1/8 or -1/8).
  uint16_t d;
  uint8_t q[32];
  uint16_t qh[8];  // 4 x 3 bits of index, 3 of sc, the sign of the eighth.
};
struct BlockIQ1_M {  // The same, a sc for each 16, a sign of the eighth for each 8.
  uint8_t q[32];
  uint8_t qh[16];      // A nibble for 8 elements: 3 bits of index, the sign of the eighth.
  uint16_t scales[4];  // 4 x 3 bits of sc; the upper four are a quarter of d.
};
struct BlockTQ1_0 {  // 256 values: d * (digit - 1), five digits of base 3 in a byte.
  uint8_t q[48];     // Digit n of byte i: element 32n + i of the first 160, then 16n + i of 80.
  uint8_t qh[4];     // Four digits in a byte: element 4n + i of the last 16.
  uint16_t d;
};
struct BlockNVFP4 {   // 64 values in 4 sub-blocks of 16: scale / 2 * kMXFP4Values[nibble].
  uint8_t scales[4];  // E4M3 without a sign.
  uint8_t q[32];      // 8 bytes a sub-block: low nibbles are elements 0 to 7.
};
struct BlockQ1_0 {  // 128 values: d where the bit is set, else -d.
  uint16_t d;
  uint8_t q[16];
};
struct BlockQ2_0 {  // 64 values: d * (two bits - 1).
  uint16_t d;
  uint8_t q[16];
};
static_assert(sizeof(BlockQ8_0) == 34);
static_assert(sizeof(BlockQ4_0) == 18);
static_assert(sizeof(BlockQ4_K) == 144);
static_assert(sizeof(BlockQ6_K) == 210);
static_assert(sizeof(BlockQ5_K) == 176);
static_assert(sizeof(BlockIQ4_XS) == 136);
static_assert(sizeof(BlockMXFP4) == 17);
static_assert(sizeof(BlockTQ2_0) == 66);
static_assert(sizeof(BlockQ4_1) == 20);
static_assert(sizeof(BlockQ5_0) == 22);
static_assert(sizeof(BlockQ5_1) == 24);
static_assert(sizeof(BlockQ2_K) == 84);
static_assert(sizeof(BlockQ3_K) == 110);
static_assert(sizeof(BlockIQ4_NL) == 18);
static_assert(sizeof(BlockIQ3_XXS) == 98);
static_assert(sizeof(BlockIQ3_S) == 110);
static_assert(sizeof(BlockIQ2_XXS) == 66);
static_assert(sizeof(BlockIQ2_XS) == 74);
static_assert(sizeof(BlockIQ2_S) == 82);
static_assert(sizeof(BlockIQ1_S) == 50);
static_assert(sizeof(BlockIQ1_M) == 56);
static_assert(sizeof(BlockTQ1_0) == 54);
static_assert(sizeof(BlockNVFP4) == 36);
static_assert(sizeof(BlockQ1_0) == 18);
static_assert(sizeof(BlockQ2_0) == 18);

// What a nibble stands for: steps that fit a bell curve, and FP4 (E2M1) doubled so that its halves
// are integers. Not inline, so that a file with its own compiler flags offers no symbol for them.
constexpr int8_t kIQ4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                   1,    13,   25,  38,  53,  69,  89,  113};
constexpr int8_t kMXFP4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

constexpr DTypeTraits Traits(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return {"F32", 1, 4, false};
    case DType::kF16:
      return {"F16", 1, 2, false};
    case DType::kBF16:
      return {"BF16", 1, 2, false};
    case DType::kQ8_0:
      return {"Q8_0", 32, sizeof(BlockQ8_0), true};
    case DType::kQ4_0:
      return {"Q4_0", 32, sizeof(BlockQ4_0), true};
    case DType::kQ4_K:
      return {"Q4_K", 256, sizeof(BlockQ4_K), true};
    case DType::kQ6_K:
      return {"Q6_K", 256, sizeof(BlockQ6_K), true};
    case DType::kQ5_K:
      return {"Q5_K", 256, sizeof(BlockQ5_K), true};
    case DType::kIQ4_XS:
      return {"IQ4_XS", 256, sizeof(BlockIQ4_XS), true};
    case DType::kMXFP4:
      return {"MXFP4", 32, sizeof(BlockMXFP4), true};
    case DType::kTQ2_0:
      return {"TQ2_0", 256, sizeof(BlockTQ2_0), true};
    case DType::kQ4_1:
      return {"Q4_1", 32, sizeof(BlockQ4_1), true};
    case DType::kQ5_0:
      return {"Q5_0", 32, sizeof(BlockQ5_0), true};
    case DType::kQ5_1:
      return {"Q5_1", 32, sizeof(BlockQ5_1), true};
    case DType::kQ2_K:
      return {"Q2_K", 256, sizeof(BlockQ2_K), true};
    case DType::kQ3_K:
      return {"Q3_K", 256, sizeof(BlockQ3_K), true};
    case DType::kIQ4_NL:
      return {"IQ4_NL", 32, sizeof(BlockIQ4_NL), true};
    case DType::kIQ3_XXS:
      return {"IQ3_XXS", 256, sizeof(BlockIQ3_XXS), true};
    case DType::kIQ3_S:
      return {"IQ3_S", 256, sizeof(BlockIQ3_S), true};
    case DType::kIQ2_XXS:
      return {"IQ2_XXS", 256, sizeof(BlockIQ2_XXS), true};
    case DType::kIQ2_XS:
      return {"IQ2_XS", 256, sizeof(BlockIQ2_XS), true};
    case DType::kIQ2_S:
      return {"IQ2_S", 256, sizeof(BlockIQ2_S), true};
    case DType::kIQ1_S:
      return {"IQ1_S", 256, sizeof(BlockIQ1_S), true};
    case DType::kIQ1_M:
      return {"IQ1_M", 256, sizeof(BlockIQ1_M), true};
    case DType::kTQ1_0:
      return {"TQ1_0", 256, sizeof(BlockTQ1_0), true};
    case DType::kNVFP4:
      return {"NVFP4", 64, sizeof(BlockNVFP4), true};
    case DType::kQ1_0:
      return {"Q1_0", 128, sizeof(BlockQ1_0), true};
    case DType::kQ2_0:
      return {"Q2_0", 64, sizeof(BlockQ2_0), true};
  }
  return {"?", 1, 1, false};
}

// Bytes of one row of `cols` elements; `cols` is a multiple of the block length.
constexpr int64_t RowBytes(DType dtype, int64_t cols) {
  return cols / Traits(dtype).block_elems * Traits(dtype).block_bytes;
}

}  // namespace shoal
