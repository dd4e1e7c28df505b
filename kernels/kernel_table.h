#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "model/dtype.h"

namespace shoal {

enum class Isa : uint8_t {
  kScalar,
  kAvx2,
  kAvxVnni,
  kAvx512,
  kAmx,
  kNeon,
  kNeonDotprod,
  kNeonI8mm
};
// "scalar", "avx2", "avxvnni", "avx512", "amx", "neon", "neon_dotprod", "neon_i8mm".
std::string_view IsaName(Isa isa);

// Length of an activation block and of a key tile; docs/arithmetic.md says how they were chosen.
inline constexpr int kActivationBlock = 32;
inline constexpr int kKeyTile = 64;

// What the cache stores keys and values as.
enum class KvType : uint8_t { kF32, kF16, kQ8_0 };
// Bytes of one key or value of a head. kQ8_0: BlockQ8_0s, the last one filled up with zeros.
constexpr int64_t KvRowBytes(KvType type, int64_t head_dim) {
  if (type == KvType::kQ8_0) return (head_dim + 31) / 32 * int64_t{sizeof(BlockQ8_0)};
  return head_dim * (type == KvType::kF32 ? 4 : 2);
}

// Weights in the order that a kernel reads; kernels/packed_matrix.h owns them.
struct PackedView {
  DType dtype;
  int64_t rows;
  int64_t cols;
  const std::byte* data;
};

// Activation rows [n_rows, cols]: as int8 blocks (q8, scales set) or as f32 (f32 set).
struct RowsView {
  int64_t n_rows = 0;
  int64_t cols = 0;
  const float* f32 = nullptr;  // Row r begins at r * f32_stride.
  int64_t f32_stride = 0;
  const int8_t* q8 = nullptr;  // Row r begins at r * q8_stride; padded to whole blocks by zeros.
  int64_t q8_stride = 0;
  const float* scales = nullptr;  // [n_rows, ceil(cols / 32)], row r begins at r * scale_stride.
  int64_t scale_stride = 0;
  const int32_t* row_map =
      nullptr;  // If set, row i of the product is row row_map[i] of the arrays.
};

// Query rows that share keys: any mix of positions and of the heads that share one kv head.
struct AttendArgs {
  int head_dim;
  float scale;  // Of scores, 1/sqrt(head_dim).
  int n_queries;
  const float* const* q;  // [n_queries] rows of head_dim.
  float* const* out;      // [n_queries] rows of head_dim.
  const int64_t* n_keys;  // [n_queries] query i sees keys [first_keys[i], n_keys[i]), at least one.
  const int64_t* first_keys = nullptr;  // [n_queries]; null: all see from key 0 on.
  const float* sinks = nullptr;         // [n_queries] scores without a value; null: there are none.
  KvType kv_type;
  // Tile j: keys j * kKeyTile and on, [kKeyTile] rows of KvRowBytes. One that no query sees is not
  // looked at.
  const void* const* k_tiles;
  const void* const* v_tiles;
  float* scratch;  // AttendScratchFloats(head_dim) floats.
};

// One function per op for one instruction set. Contracts stand in each op's header; every variant
// gives the scalar one's bits. Functions write only what they are asked to and never allocate.
struct KernelTable {
  Isa isa;

  // quantize.h
  void (*quantize_row)(const float* x, int64_t n, int8_t* q, float* scales);
  void (*encode_f16_row)(const float* x, int64_t n, uint16_t* out, float* row_scale);
  void (*decode_f16_row)(const uint16_t* x, int64_t n, float row_scale, float* out);
  void (*store_kv)(const float* x, int64_t n, KvType type, void* out);

  // packed_matrix.h
  int64_t (*packed_bytes)(DType dtype, int64_t rows, int64_t cols);
  // Packs rows [first_row, first_row + n_rows), of which src is the first, in file order; first_row
  // is a multiple of kPackRows, and n_rows too unless it ends the matrix.
  void (*pack_rows)(DType dtype, int64_t rows, int64_t cols, int64_t first_row, int64_t n_rows,
                    const std::byte* src, std::byte* packed);
  void (*unpack_row)(const PackedView& w, int64_t row, float* out);  // Dequantized, [cols].

  // matmul.h: y[i * y_stride + n] = W[n] . x[i] for n in [row_begin, row_end), a multiple of
  // kPackRows at its start.
  void (*matmul)(const PackedView& w, const RowsView& x, int64_t row_begin, int64_t row_end,
                 float* y, int64_t y_stride);

  // attention.h
  void (*attend)(const AttendArgs& args);

  // elementwise.h
  void (*rms_norm)(const float* x, const float* w, int64_t n, float eps, float* out);
  void (*layer_norm)(const float* x, const float* w, const float* bias, int64_t n, float eps,
                     float* out);
  void (*softmax)(float* x, int64_t n);
  void (*silu_mul)(const float* gate, const float* up, int64_t n, float* out);
  void (*gelu_mul)(const float* gate, const float* up, int64_t n, float* out);
  void (*clamped_silu_mul)(const float* gate, const float* up, int64_t n, float alpha, float limit,
                           float* out);
  void (*axpy)(float a, const float* x, int64_t n, float* y);  // y = fma(a, x, y).
  void (*add)(const float* x, int64_t n, float* y);            // y += x.
  // Turns adjacent or half pairs of one head; cos, sin: [head_dim / 2].
  void (*rope_half)(float* head, const float* cos, const float* sin, int head_dim);
  void (*rope_adjacent)(float* head, const float* cos, const float* sin, int head_dim);
};

// Rows are packed in groups of this many, whatever the instruction set.
inline constexpr int kPackRows = 16;

constexpr int64_t AttendScratchFloats(int head_dim) { return (2 * kKeyTile + 4) * head_dim; }

// The tables this machine can run, slowest first; scalar is always there.
std::vector<const KernelTable*> AvailableKernels();
// The last of those, or the one that SHOAL_ISA names; exits with code 2 and a message when the
// machine cannot run that one.
const KernelTable& SelectedKernels();

}  // namespace shoal
