#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/packed_matrix.h"
#include "kernels/scalar_math.h"

// Inputs for the tests of this folder: from fixed seeds, by arithmetic that every standard library
// does alike (so no std distributions).
namespace shoal {

class TestRandom {
 public:
  explicit TestRandom(uint32_t seed) : engine_(seed) {}
  uint32_t Bits() { return engine_(); }
  int Below(int n) { return static_cast<int>(Bits() % static_cast<uint32_t>(n)); }
  // In [-1, 1), 24 bits.
  float Uniform() {
    return static_cast<float>(static_cast<int>(Bits() >> 8) - (1 << 23)) * 0x1p-23F;
  }
  // Mostly below 1 with a few large values, as activations are.
  float Activation() {
    const float u = Uniform();
    return Below(64) == 0 ? u * 30.0F : u * u * u * 3.0F;
  }

 private:
  std::mt19937 engine_;
};

inline std::vector<float> RandomFloats(int64_t n, uint32_t seed) {
  TestRandom random(seed);
  std::vector<float> out(static_cast<size_t>(n));
  for (float& x : out) x = random.Activation();
  return out;
}

// Any bits where any bits are a weight, and scales of either sign up to 2^-4 in file order. One
// block in 16 has scale zero (MXFP4, which has neither zero nor sign: the smallest).
inline std::vector<std::byte> RandomWeights(DType dtype, int64_t rows, int64_t cols,
                                            uint32_t seed) {
  TestRandom random(seed);
  const DTypeTraits traits = Traits(dtype);
  std::vector<std::byte> out(static_cast<size_t>(rows * RowBytes(dtype, cols)));
  for (std::byte& b : out) b = static_cast<std::byte>(random.Bits() >> 24);
  const auto put_f16 = [&](size_t offset, float value) {
    const uint16_t bits = F16FromF32(value);
    std::memcpy(out.data() + offset, &bits, sizeof(bits));
  };
  for (size_t at = 0; at < out.size(); at += static_cast<size_t>(traits.block_bytes)) {
    const float d = random.Below(16) == 0 ? 0.0F : random.Uniform() * 0x1p-4F;
    switch (dtype) {
      case DType::kQ4_K:
      case DType::kQ5_K:
        put_f16(at + offsetof(BlockQ4_K, dmin), random.Uniform() * 0x1p-4F);
        [[fallthrough]];
      case DType::kQ8_0:
      case DType::kQ4_0:
      case DType::kIQ4_XS:
        put_f16(at, d);
        break;
      case DType::kQ6_K:
        put_f16(at + offsetof(BlockQ6_K, d), d);
        break;
      case DType::kMXFP4:
        out[at] = static_cast<std::byte>(d == 0.0F ? 0 : 112 + random.Below(12));
        break;
      case DType::kTQ2_0:
        put_f16(at + offsetof(BlockTQ2_0, d), d);
        break;
      case DType::kF16:
        put_f16(at, random.Uniform());
        break;
      case DType::kBF16: {
        const uint32_t bits = std::bit_cast<uint32_t>(random.Uniform());
        const uint16_t high = static_cast<uint16_t>(bits >> 16);
        std::memcpy(out.data() + at, &high, sizeof(high));
        break;
      }
      case DType::kF32: {
        const float value = random.Uniform();
        std::memcpy(out.data() + at, &value, sizeof(value));
        break;
      }
    }
  }
  return out;
}

// Packs in pieces of one row group, as a loader does.
inline PackedMatrix Pack(const KernelTable& kernels, DType dtype, int64_t rows, int64_t cols,
                         const std::vector<std::byte>& file) {
  PackedMatrix matrix(kernels, dtype, rows, cols);
  for (int64_t row = 0; row < rows; row += kPackRows) {
    const int64_t n = rows - row < kPackRows ? rows - row : kPackRows;
    matrix.PackRows(row, n, file.data() + row * RowBytes(dtype, cols));
  }
  return matrix;
}

// Rows of activations, rounded by `kernels`.
struct QuantizedRows {
  QuantizedRows(const KernelTable& kernels, const std::vector<float>& x, int64_t n_rows,
                int64_t cols)
      : n_rows_(n_rows),
        cols_(cols),
        n_blocks_((cols + 31) / 32),
        q8(static_cast<size_t>(n_rows * n_blocks_ * 32)),
        scales(static_cast<size_t>(n_rows * n_blocks_)) {
    for (int64_t r = 0; r < n_rows; ++r) {
      kernels.quantize_row(x.data() + r * cols, cols, q8.data() + r * n_blocks_ * 32,
                           scales.data() + r * n_blocks_);
    }
  }
  RowsView view() const {
    RowsView rows;
    rows.n_rows = n_rows_;
    rows.cols = cols_;
    rows.q8 = q8.data();
    rows.q8_stride = n_blocks_ * 32;
    rows.scales = scales.data();
    rows.scale_stride = n_blocks_;
    return rows;
  }

 private:
  int64_t n_rows_;
  int64_t cols_;
  int64_t n_blocks_;

 public:
  std::vector<int8_t> q8;
  std::vector<float> scales;
};

inline RowsView FloatRows(const std::vector<float>& x, int64_t n_rows, int64_t cols) {
  RowsView rows;
  rows.n_rows = n_rows;
  rows.cols = cols;
  rows.f32 = x.data();
  rows.f32_stride = cols;
  return rows;
}

// Rows [x.size() / head_dim, head_dim] as the cache stores them, one after another.
inline std::vector<std::byte> StoredRows(const KernelTable& kernels, const std::vector<float>& x,
                                         int64_t head_dim, KvType type) {
  const int64_t n_rows = static_cast<int64_t>(x.size()) / head_dim;
  const int64_t row_bytes = KvRowBytes(type, head_dim);
  std::vector<std::byte> out(static_cast<size_t>(n_rows * row_bytes));
  for (int64_t r = 0; r < n_rows; ++r) {
    kernels.store_kv(x.data() + r * head_dim, head_dim, type, out.data() + r * row_bytes);
  }
  return out;
}

// FNV-1a over bytes; what golden bits are kept as.
inline uint64_t HashBytes(const void* data, size_t n) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (size_t i = 0; i < n; ++i) {
    hash = (hash ^ static_cast<const uint8_t*>(data)[i]) * 0x100000001b3ULL;
  }
  return hash;
}
template <typename T>
uint64_t Hash(const std::vector<T>& v) {
  return HashBytes(v.data(), v.size() * sizeof(T));
}

}  // namespace shoal
