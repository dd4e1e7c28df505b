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
};
inline constexpr DType kLastDType = DType::kTQ2_0;

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
static_assert(sizeof(BlockQ8_0) == 34);
static_assert(sizeof(BlockQ4_0) == 18);
static_assert(sizeof(BlockQ4_K) == 144);
static_assert(sizeof(BlockQ6_K) == 210);
static_assert(sizeof(BlockQ5_K) == 176);
static_assert(sizeof(BlockIQ4_XS) == 136);
static_assert(sizeof(BlockMXFP4) == 17);
static_assert(sizeof(BlockTQ2_0) == 66);

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
  }
  return {"?", 1, 1, false};
}

// Bytes of one row of `cols` elements; `cols` is a multiple of the block length.
constexpr int64_t RowBytes(DType dtype, int64_t cols) {
  return cols / Traits(dtype).block_elems * Traits(dtype).block_bytes;
}

}  // namespace shoal
