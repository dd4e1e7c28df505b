#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
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

// All types from `first` on.
inline std::vector<DType> AllTypes(DType first) {
  std::vector<DType> types;
  for (int i = static_cast<int>(first); i <= static_cast<int>(kLastDType); ++i) {
    types.push_back(static_cast<DType>(i));
  }
  return types;
}

// Where the f16 factors of a block lie. MXFP4 and NVFP4 have none, and IQ1_M has a quarter of its
// own in each of four words.
inline std::vector<int> F16Offsets(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kMXFP4:
    case DType::kNVFP4:
    case DType::kIQ1_M:
      return {};
    case DType::kQ4_K:
    case DType::kQ5_K:
    case DType::kQ4_1:
    case DType::kQ5_1:
      return {0, 2};
    case DType::kQ2_K:
      return {offsetof(BlockQ2_K, d), offsetof(BlockQ2_K, dmin)};
    case DType::kQ6_K:
    case DType::kQ3_K:
    case DType::kTQ1_0:
    case DType::kTQ2_0:
      return {Traits(dtype).block_bytes - 2};
    default:
      return {0};
  }
}

inline bool HoldsF16(DType dtype, int64_t at) {
  if (dtype == DType::kIQ1_M) {
    return at >= static_cast<int64_t>(offsetof(BlockIQ1_M, scales)) && at % 2 == 1;
  }
  const std::vector<int> offsets = F16Offsets(dtype);
  return std::any_of(offsets.begin(), offsets.end(), [at](int o) { return at / 2 == o / 2; });
}

// Any bits where any bits are a weight, and scales of either sign up to 2^-4 in file order. One
// block in 16 has scale zero (MXFP4, which has neither zero nor sign: the smallest).
inline std::vector<std::byte> RandomWeights(DType dtype, int64_t rows, int64_t cols,
                                            uint32_t seed) {
  TestRandom random(seed);
  const DTypeTraits traits = Traits(dtype);
  std::vector<std::byte> out(static_cast<size_t>(rows * RowBytes(dtype, cols)));
  for (std::byte& b : out) b = static_cast<std::byte>(random.Bits() >> 24);
  const auto put = [&](size_t offset, auto bits) {
    std::memcpy(out.data() + offset, &bits, sizeof(bits));
  };
  for (size_t at = 0; at < out.size(); at += static_cast<size_t>(traits.block_bytes)) {
    const float d = random.Below(16) == 0 ? 0.0F : random.Uniform() * 0x1p-4F;
    const std::vector<int> offsets = F16Offsets(dtype);
    for (auto o = offsets.rbegin(); o != offsets.rend(); ++o) {
      put(at + static_cast<size_t>(*o),
          F16FromF32(*o == offsets[0] ? d : random.Uniform() * 0x1p-4F));
    }
    switch (dtype) {
      case DType::kMXFP4:
        out[at] = static_cast<std::byte>(d == 0.0F ? 0 : 112 + random.Below(12));
        break;
      case DType::kIQ1_M:
        for (size_t i = 0; i < 4; ++i) {
          std::byte& quarter = out[at + offsetof(BlockIQ1_M, scales) + 2 * i + 1];
          const int bits = (F16FromF32(d) >> (4 * i)) & 15;
          quarter = (quarter & std::byte{15}) | static_cast<std::byte>(bits << 4);
        }
        break;
      case DType::kF16:
        put(at, F16FromF32(random.Uniform()));
        break;
      case DType::kBF16:
        put(at, static_cast<uint16_t>(std::bit_cast<uint32_t>(random.Uniform()) >> 16));
        break;
      case DType::kF32:
        put(at, random.Uniform());
        break;
      default:
        break;
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
