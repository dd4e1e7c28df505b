#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/kernels_testing.h"

namespace shoal {
namespace {

// Keys and values of one kv head in tiles, and queries at several positions.
struct AttendCase {
  AttendCase(int head_dim_, std::vector<int64_t> n_keys_, KvType type_, float magnitude = 1.0F)
      : head_dim(head_dim_), n_keys(std::move(n_keys_)), type(type_) {
    const int64_t longest = *std::max_element(n_keys.begin(), n_keys.end());
    const int64_t n_tiles = (longest + kKeyTile - 1) / kKeyTile;
    k = RandomFloats(n_tiles * kKeyTile * head_dim, 31);
    v = RandomFloats(n_tiles * kKeyTile * head_dim, 32);
    q = RandomFloats(static_cast<int64_t>(n_keys.size()) * head_dim, 33);
    for (float& x : q) x *= magnitude;
    const KernelTable& scalar = *AvailableKernels().front();
    k_stored = StoredRows(scalar, k, head_dim, type);
    v_stored = StoredRows(scalar, v, head_dim, type);
    for (int64_t j = 0; j < n_tiles; ++j) {
      const int64_t offset = j * kKeyTile * KvRowBytes(type, head_dim);
      k_tiles.push_back(k_stored.data() + offset);
      v_tiles.push_back(v_stored.data() + offset);
    }
  }

  // Element d of row r of k_stored or v_stored.
  double Stored(const std::vector<std::byte>& rows, size_t r, size_t d) const {
    const std::byte* row = rows.data() + r * static_cast<size_t>(KvRowBytes(type, head_dim));
    if (type == KvType::kF32) return reinterpret_cast<const float*>(row)[d];
    if (type == KvType::kF16) return F32FromF16(reinterpret_cast<const uint16_t*>(row)[d]);
    const BlockQ8_0& block = reinterpret_cast<const BlockQ8_0*>(row)[d / 32];
    return static_cast<double>(F32FromF16(block.d)) * block.q[d % 32];
  }

  float scale() const { return 1.0F / std::sqrt(static_cast<float>(head_dim)); }

  // Of each query a window, the larger the more it sees, and a sink.
  void AddWindowsAndSinks() {
    for (size_t i = 0; i < n_keys.size(); ++i) {
      first_keys.push_back(i % 5 == 0 ? n_keys[i] - 1 : n_keys[i] / (static_cast<int>(i) % 4 + 2));
      sinks.push_back(static_cast<float>(i % 7) - 3.0F);
    }
  }
  int64_t FirstKey(size_t query) const { return first_keys.empty() ? 0 : first_keys[query]; }

  // Outputs [n_queries, head_dim]; queries in calls of `n_per_call`.
  std::vector<float> Run(const KernelTable& kernels, size_t n_per_call) const {
    std::vector<float> out(q.size());
    std::vector<float> scratch(static_cast<size_t>(AttendScratchFloats(head_dim)));
    for (size_t begin = 0; begin < n_keys.size(); begin += n_per_call) {
      const size_t n = std::min(n_per_call, n_keys.size() - begin);
      std::vector<const float*> q_rows;
      std::vector<float*> out_rows;
      for (size_t i = begin; i < begin + n; ++i) {
        q_rows.push_back(q.data() + i * static_cast<size_t>(head_dim));
        out_rows.push_back(out.data() + i * static_cast<size_t>(head_dim));
      }
      kernels.attend({.head_dim = head_dim,
                      .scale = scale(),
                      .n_queries = static_cast<int>(n),
                      .q = q_rows.data(),
                      .out = out_rows.data(),
                      .n_keys = n_keys.data() + begin,
                      .first_keys = first_keys.empty() ? nullptr : first_keys.data() + begin,
                      .sinks = sinks.empty() ? nullptr : sinks.data() + begin,
                      .kv_type = type,
                      .k_tiles = k_tiles.data(),
                      .v_tiles = v_tiles.data(),
                      .scratch = scratch.data()});
    }
    return out;
  }

  int head_dim;
  std::vector<int64_t> n_keys;
  std::vector<int64_t> first_keys;  // Empty: all 0.
  std::vector<float> sinks;         // Empty: none.
  KvType type;
  std::vector<float> k, v, q;
  std::vector<std::byte> k_stored, v_stored;
  std::vector<const void*> k_tiles, v_tiles;
};

std::vector<double> ExactAttention(const AttendCase& c, size_t query) {
  const size_t dim = static_cast<size_t>(c.head_dim);
  const size_t n = static_cast<size_t>(c.n_keys[query]);
  std::vector<double> scores(n);
  double max = c.sinks.empty() ? -1e300 : c.sinks[query];
  const auto first = static_cast<size_t>(c.FirstKey(query));
  for (size_t key = first; key < n; ++key) {
    for (size_t d = 0; d < dim; ++d) {
      scores[key] += c.q[query * dim + d] * c.Stored(c.k_stored, key, d);
    }
    scores[key] *= c.scale();
    max = std::max(max, scores[key]);
  }
  double sum = c.sinks.empty() ? 0.0 : std::exp(c.sinks[query] - max);
  std::vector<double> out(dim);
  for (size_t key = first; key < n; ++key) {
    const double p = std::exp(scores[key] - max);
    sum += p;
    for (size_t d = 0; d < dim; ++d) out[d] += p * c.Stored(c.v_stored, key, d);
  }
  for (double& x : out) x /= sum;
  return out;
}

TEST(AttentionTest, MatchesDouble) {
  for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
    for (const bool windows_and_sinks : {false, true}) {
      AttendCase c(64, {1, 63, 64, 65, 128, 200}, type);
      if (windows_and_sinks) c.AddWindowsAndSinks();
      for (const KernelTable* kernels : AvailableKernels()) {
        const std::vector<float> got = c.Run(*kernels, 6);
        for (size_t query = 0; query < c.n_keys.size(); ++query) {
          const std::vector<double> exact = ExactAttention(c, query);
          for (size_t d = 0; d < 64; ++d) {
            ASSERT_NEAR(got[query * 64 + d], exact[d], 2e-5)
                << IsaName(kernels->isa) << " query " << query << " element " << d;
          }
        }
      }
    }
  }
}

TEST(AttentionTest, OneKeyGivesItsValue) {
  const AttendCase c(48, {1}, KvType::kF32);
  for (const KernelTable* kernels : AvailableKernels()) {
    const std::vector<float> got = c.Run(*kernels, 1);
    for (size_t d = 0; d < 48; ++d) EXPECT_EQ(got[d], c.v[d]);
  }
}

// Goal: every variant gives the scalar bits, however queries share a call. Method: head lengths
// that are no multiple of a register, key counts around tiles' ends, scores up to thousands apart.
TEST(AttentionTest, EveryVariantGivesTheScalarBits) {
  const std::vector<int64_t> n_keys = {1,  2,  15, 16,  17,  63,  64, 65,
                                       66, 67, 68, 127, 128, 129, 300};
  for (const int head_dim : {1, 8, 16, 24, 48, 64, 80, 128, 200}) {
    for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
      for (const float magnitude : {1.0F, 300.0F, -1.0F}) {
        AttendCase c(head_dim, n_keys, type, magnitude);
        if (magnitude < 0) c.AddWindowsAndSinks();
        const std::vector<float> truth = c.Run(*AvailableKernels().front(), 1);
        for (const KernelTable* kernels : AvailableKernels()) {
          for (const size_t n_per_call : {1, 3, 4, 15}) {
            const std::vector<float> got = c.Run(*kernels, n_per_call);
            ASSERT_EQ(Hash(got), Hash(truth)) << IsaName(kernels->isa) << " head_dim " << head_dim
                                              << " type " << static_cast<int>(type) << " magnitude "
                                              << magnitude << " per call " << n_per_call;
          }
        }
      }
    }
  }
}

// Tiles that no query sees are not there, and keys before a window may be anything.
TEST(AttentionTest, WhatIsBeforeTheWindowDoesNotCount) {
  AttendCase c(24, {200, 201, 202, 203, 204}, KvType::kF32);
  c.first_keys = {140, 141, 142, 143, 150};
  for (const KernelTable* kernels : AvailableKernels()) {
    const std::vector<float> truth = c.Run(*kernels, 5);
    AttendCase poisoned = c;
    std::fill(poisoned.k.begin(), poisoned.k.begin() + 140 * 24, NAN);
    std::fill(poisoned.v.begin(), poisoned.v.begin() + 140 * 24, NAN);
    for (size_t tile = 0; tile < c.k_tiles.size(); ++tile) {
      poisoned.k_tiles[tile] = tile < 2 ? nullptr : poisoned.k.data() + tile * kKeyTile * 24;
      poisoned.v_tiles[tile] = tile < 2 ? nullptr : poisoned.v.data() + tile * kKeyTile * 24;
    }
    EXPECT_EQ(Hash(poisoned.Run(*kernels, 5)), Hash(truth)) << IsaName(kernels->isa);
  }
}

// Values that a query does not see may be anything, NaN too.
TEST(AttentionTest, WhatIsNotSeenDoesNotCount) {
  AttendCase c(64, {5, 6, 7, 70}, KvType::kF32);
  for (const KernelTable* kernels : AvailableKernels()) {
    const std::vector<float> truth = c.Run(*kernels, 4);
    AttendCase poisoned = c;
    poisoned.k_tiles = {poisoned.k.data(), poisoned.k.data() + kKeyTile * 64};
    poisoned.v_tiles = {poisoned.v.data(), poisoned.v.data() + kKeyTile * 64};
    std::fill(poisoned.k.begin() + 70 * 64, poisoned.k.end(), NAN);
    std::fill(poisoned.v.begin() + 70 * 64, poisoned.v.end(), NAN);
    EXPECT_EQ(Hash(poisoned.Run(*kernels, 4)), Hash(truth)) << IsaName(kernels->isa);
    // Keys 7 to 69 only the last query sees.
    std::fill(poisoned.k.begin() + 7 * 64, poisoned.k.end(), NAN);
    std::fill(poisoned.v.begin() + 7 * 64, poisoned.v.end(), NAN);
    const std::vector<float> got = poisoned.Run(*kernels, 4);
    EXPECT_EQ(HashBytes(got.data(), 3 * 64 * 4), HashBytes(truth.data(), 3 * 64 * 4));
    EXPECT_TRUE(std::isnan(got.back()));
  }
}

}  // namespace
}  // namespace shoal
