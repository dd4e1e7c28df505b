#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "kernels/kernels_testing.h"
#include "kernels/rope.h"

// Golden bits of docs/arithmetic.md, version 1: hashes of what each op gives for inputs from fixed
// seeds. A change of any of them is a new version of the arithmetic, and a new numerics class.
namespace shoal {
namespace {

uint64_t HashProduct(const KernelTable& kernels, DType dtype, bool q8) {
  const int64_t rows = 35;
  const int64_t cols = 768;
  const int64_t n_rows = 5;
  const PackedMatrix w = Pack(kernels, dtype, rows, cols, RandomWeights(dtype, rows, cols, 61));
  const std::vector<float> x = RandomFloats(n_rows * cols, 62);
  const QuantizedRows rounded(kernels, x, n_rows, cols);
  std::vector<float> y(static_cast<size_t>(n_rows * rows));
  kernels.matmul(w.view(), q8 ? rounded.view() : FloatRows(x, n_rows, cols), 0, rows, y.data(),
                 rows);
  return Hash(y);
}

uint64_t HashAttention(const KernelTable& kernels, KvType type,
                       const std::vector<int64_t>& first_keys = {},
                       const std::vector<float>& sinks = {}) {
  const int dim = 72;
  const std::vector<int64_t> n_keys = {1, 64, 65, 150};
  const std::vector<float> k = RandomFloats(3 * kKeyTile * dim, 63);
  const std::vector<float> v = RandomFloats(3 * kKeyTile * dim, 64);
  const std::vector<float> q = RandomFloats(4 * dim, 65);
  const std::vector<std::byte> k_stored = StoredRows(kernels, k, dim, type);
  const std::vector<std::byte> v_stored = StoredRows(kernels, v, dim, type);
  const auto tile_bytes = static_cast<size_t>(kKeyTile * KvRowBytes(type, dim));
  std::vector<const void*> k_tiles;
  std::vector<const void*> v_tiles;
  for (size_t j = 0; j < 3; ++j) {
    k_tiles.push_back(k_stored.data() + j * tile_bytes);
    v_tiles.push_back(v_stored.data() + j * tile_bytes);
  }
  std::vector<float> out(q.size());
  std::vector<const float*> q_rows;
  std::vector<float*> out_rows;
  for (size_t i = 0; i < n_keys.size(); ++i) {
    q_rows.push_back(q.data() + i * dim);
    out_rows.push_back(out.data() + i * dim);
  }
  std::vector<float> scratch(static_cast<size_t>(AttendScratchFloats(dim)));
  kernels.attend({.head_dim = dim,
                  .scale = 0.1178511302F,
                  .n_queries = 4,
                  .q = q_rows.data(),
                  .out = out_rows.data(),
                  .n_keys = n_keys.data(),
                  .first_keys = first_keys.empty() ? nullptr : first_keys.data(),
                  .sinks = sinks.empty() ? nullptr : sinks.data(),
                  .kv_type = type,
                  .k_tiles = k_tiles.data(),
                  .v_tiles = v_tiles.data(),
                  .scratch = scratch.data()});
  return Hash(out);
}

uint64_t HashRowOps(const KernelTable& kernels) {
  const int64_t n = 1003;
  const std::vector<float> x = RandomFloats(n, 66);
  const std::vector<float> y = RandomFloats(n, 67);
  std::vector<float> all;
  std::vector<float> out(x.size());
  const auto keep = [&] { all.insert(all.end(), out.begin(), out.end()); };
  kernels.rms_norm(x.data(), y.data(), n, 1e-6F, out.data());
  keep();
  out = x;
  kernels.softmax(out.data(), n);
  keep();
  kernels.silu_mul(x.data(), y.data(), n, out.data());
  keep();
  out = y;
  kernels.axpy(0.37F, x.data(), n, out.data());
  keep();
  kernels.add(x.data(), n, out.data());
  keep();
  kernels.rope_half(out.data(), x.data(), y.data(), 1002);
  keep();
  kernels.rope_adjacent(out.data(), x.data(), y.data(), 1002);
  keep();
  return Hash(all);
}

uint64_t HashNormsAndGates(const KernelTable& kernels) {
  const int64_t n = 1003;
  const std::vector<float> x = RandomFloats(n, 66);
  const std::vector<float> y = RandomFloats(n, 67);
  std::vector<float> out(x.size());
  kernels.layer_norm(x.data(), y.data(), x.data(), n, 1e-6F, out.data());
  uint64_t hash = Hash(out);
  kernels.gelu_mul(x.data(), y.data(), n, out.data());
  hash = hash * 31 + Hash(out);
  kernels.clamped_silu_mul(x.data(), y.data(), n, 1.702F, 0.8F, out.data());
  return hash * 31 + Hash(out);
}

uint64_t HashRounding(const KernelTable& kernels) {
  const int64_t n = 1003;
  const std::vector<float> x = RandomFloats(n, 68);
  const QuantizedRows rows(kernels, x, 1, n);
  std::vector<uint16_t> half(x.size());
  float scale = 0.0F;
  kernels.encode_f16_row(x.data(), n, half.data(), &scale);
  return Hash(rows.q8) ^ Hash(rows.scales) ^ Hash(half) ^ HashBytes(&scale, sizeof(scale));
}

uint64_t HashAngles() {
  std::vector<float> cos(64 * 9);
  std::vector<float> sin(cos.size());
  for (size_t i = 0; i < 9; ++i) {
    const int64_t position = i == 0 ? 0 : int64_t{1} << (3 * (i - 1));
    RopeAngles(position, RopeFrequencies(i % 2 == 0 ? 10000.0 : 1e6, 128), &cos[i * 64],
               &sin[i * 64]);
  }
  return Hash(cos) ^ (Hash(sin) << 1);
}

struct Golden {
  std::string name;
  uint64_t hash;
};

std::vector<Golden> AllHashes(const KernelTable& kernels) {
  std::vector<Golden> hashes = {
      {"Q8_0, int8 rows", HashProduct(kernels, DType::kQ8_0, true)},
      {"Q4_0, int8 rows", HashProduct(kernels, DType::kQ4_0, true)},
      {"Q4_K, int8 rows", HashProduct(kernels, DType::kQ4_K, true)},
      {"Q6_K, int8 rows", HashProduct(kernels, DType::kQ6_K, true)},
      {"Q8_0, f32 rows", HashProduct(kernels, DType::kQ8_0, false)},
      {"Q4_0, f32 rows", HashProduct(kernels, DType::kQ4_0, false)},
      {"Q4_K, f32 rows", HashProduct(kernels, DType::kQ4_K, false)},
      {"Q6_K, f32 rows", HashProduct(kernels, DType::kQ6_K, false)},
      {"Q5_K, int8 rows", HashProduct(kernels, DType::kQ5_K, true)},
      {"IQ4_XS, int8 rows", HashProduct(kernels, DType::kIQ4_XS, true)},
      {"MXFP4, int8 rows", HashProduct(kernels, DType::kMXFP4, true)},
      {"TQ2_0, int8 rows", HashProduct(kernels, DType::kTQ2_0, true)},
      {"Q5_K, f32 rows", HashProduct(kernels, DType::kQ5_K, false)},
      {"IQ4_XS, f32 rows", HashProduct(kernels, DType::kIQ4_XS, false)},
      {"MXFP4, f32 rows", HashProduct(kernels, DType::kMXFP4, false)},
      {"TQ2_0, f32 rows", HashProduct(kernels, DType::kTQ2_0, false)},
      {"F32", HashProduct(kernels, DType::kF32, false)},
      {"attention over f32", HashAttention(kernels, KvType::kF32)},
      {"attention over f16", HashAttention(kernels, KvType::kF16)},
      {"attention over q8_0", HashAttention(kernels, KvType::kQ8_0)},
      {"row ops", HashRowOps(kernels)},
      {"rounding", HashRounding(kernels)},
      {"angles", HashAngles()},
  };
  for (const DType dtype : AllTypes(DType::kQ4_1)) {
    const std::string name{Traits(dtype).name};
    hashes.push_back({name + ", int8 rows", HashProduct(kernels, dtype, true)});
    hashes.push_back({name + ", f32 rows", HashProduct(kernels, dtype, false)});
  }
  hashes.push_back({"attention in windows, with sinks",
                    HashAttention(kernels, KvType::kF16, {0, 20, 64, 70}, {0.5F, -1.0F, 3.0F, 0})});
  hashes.push_back({"LayerNorm, GELU, clamped SiLU", HashNormsAndGates(kernels)});
  return hashes;
}

constexpr uint64_t kVersion1[] = {
    0xd04fa4a814262afe, 0x25e392d2e461c15e, 0xcbde91b5957ac9a5, 0xe0dd4361858abe93,
    0xcfa3c710596bc65e, 0xdc6567ae00190dc5, 0xb7c356f373fc89f1, 0xd94dc0dd50fba36e,
    0xdbd3bb0bf5d8417e, 0xd0099f0c147dbed1, 0x53457fbf9ee911b8, 0x2883f4c12e8b9577,
    0xf2cf52a70ab92784, 0xef9952f97bc8a4ce, 0xf80b5c837eb441a4, 0x01861fcebbe2eb38,
    0xf93df640ed3fff68, 0x7bed9fcd533daee0, 0x6f1d7d3e90238823, 0xb7c6cd86a5b642c5,
    0x5837851c108e39ec, 0xa990c66754ff08dd, 0x06d92aaa29a3b12b, 0x90fffa06241e32ef,
    0x16d9faf0a3174e95, 0xd6c5ee3842728d8f, 0x4c751f8f86564d88, 0x116269440ed7a297,
    0xb57999477615531b, 0x59be88614fcd1305, 0x019b255ec976c78d, 0x2fbfbe6b8b60ee81,
    0x7b3a953f9ec9d6a1, 0xfdf7580f6281ac9a, 0xdda92dc42178aae2, 0x65932d24598ea405,
    0x9e215f402ca785b7, 0xfb056e1076cb8ab7, 0x24d3fd2350e71576, 0x3ce9b04eec792cbe,
    0x4ae8c787129b1562, 0xd6115292db2897da, 0xabd7712832984ea5, 0x07717ae7d29f17f2,
    0xb449d8831eccc35f, 0xd31a8bc07e446fde, 0x8bf179532e0082d7, 0xe85f7726f2159f2a,
    0x13d6263af74f0205, 0x63e65b4fed9ab1bf, 0xf5b42f6f48c65ac7, 0xa37486e02e779c46,
    0x94e3924fc24a92bd, 0x273492d82c78808c, 0xd54354a53403258a, 0x9c90a657a3fb977b,
    0x5c1f3e15e0a943be, 0x33e82bfe7a959176, 0x32b2251f866b96db,
};

TEST(GoldenTest, EveryVariantGivesTheBitsOfVersion1) {
  for (const KernelTable* kernels : AvailableKernels()) {
    const std::vector<Golden> got = AllHashes(*kernels);
    ASSERT_EQ(got.size(), std::size(kVersion1));
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].hash, kVersion1[i])
          << IsaName(kernels->isa) << ": " << got[i].name << std::hex << " 0x" << got[i].hash;
    }
  }
}

}  // namespace
}  // namespace shoal
