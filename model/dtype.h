#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace shoal {

// Formats a weight can be stored in, in GGUF's block layouts.
enum class DType : uint8_t { kF32, kF16, kBF16, kQ8_0, kQ4_0, kQ4_K, kQ6_K };

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
static_assert(sizeof(BlockQ8_0) == 34);
static_assert(sizeof(BlockQ4_0) == 18);
static_assert(sizeof(BlockQ4_K) == 144);
static_assert(sizeof(BlockQ6_K) == 210);

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
  }
  return {"?", 1, 1, false};
}

// Bytes of one row of `cols` elements; `cols` is a multiple of the block length.
constexpr int64_t RowBytes(DType dtype, int64_t cols) {
  return cols / Traits(dtype).block_elems * Traits(dtype).block_bytes;
}

}  // namespace shoal
