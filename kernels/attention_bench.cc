#include <benchmark/benchmark.h>

#include <cmath>
#include <string>

#include "kernels/kernels_testing.h"

// Attention of one kv head of 128 over an f16 cache: a decode step (one position, GB/s of keys and
// values, which are more than the caches hold) and a prompt chunk of 64 positions (Gflop/s).
namespace shoal {
namespace {

constexpr int kHeadDim = 128;

void BenchAttend(benchmark::State& state, const KernelTable* kernels, int n_queries, int64_t n_keys,
                 int64_t n_heads) {
  const int64_t n_tiles = (n_keys + kKeyTile - 1) / kKeyTile;
  const int64_t head_elems = n_tiles * kKeyTile * kHeadDim;
  std::vector<uint16_t> cache(static_cast<size_t>(2 * n_heads * head_elems));
  const std::vector<float> row = RandomFloats(head_elems, 1);
  for (int64_t h = 0; h < 2 * n_heads; ++h) {
    kernels->store_kv(row.data(), head_elems, KvType::kF16, cache.data() + h * head_elems);
  }
  const std::vector<float> q = RandomFloats(n_queries * kHeadDim, 2);
  std::vector<float> out(q.size());
  std::vector<const float*> q_rows;
  std::vector<float*> out_rows;
  std::vector<int64_t> visible;
  for (int i = 0; i < n_queries; ++i) {
    q_rows.push_back(q.data() + i * kHeadDim);
    out_rows.push_back(out.data() + i * kHeadDim);
    visible.push_back(n_keys - n_queries + 1 + i);
  }
  std::vector<float> scratch(static_cast<size_t>(AttendScratchFloats(kHeadDim)));
  std::vector<const void*> k_tiles(static_cast<size_t>(n_tiles));
  std::vector<const void*> v_tiles(k_tiles.size());
  int64_t head = 0;
  for (auto _ : state) {
    for (int64_t j = 0; j < n_tiles; ++j) {
      const size_t i = static_cast<size_t>(j);
      k_tiles[i] = cache.data() + 2 * head * head_elems + j * kKeyTile * kHeadDim;
      v_tiles[i] = cache.data() + (2 * head + 1) * head_elems + j * kKeyTile * kHeadDim;
    }
    head = (head + 1) % n_heads;
    kernels->attend({.head_dim = kHeadDim,
                     .scale = 1.0F / std::sqrt(static_cast<float>(kHeadDim)),
                     .n_queries = n_queries,
                     .q = q_rows.data(),
                     .out = out_rows.data(),
                     .n_keys = visible.data(),
                     .kv_type = KvType::kF16,
                     .k_tiles = k_tiles.data(),
                     .v_tiles = v_tiles.data(),
                     .scratch = scratch.data()});
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  using benchmark::Counter;
  const double n = static_cast<double>(state.iterations());
  const double n_elems = static_cast<double>(n_keys * kHeadDim);
  state.counters["GB/s"] = Counter(n * n_elems * 4e-9, Counter::kIsRate);
  state.counters["Gflop/s"] = Counter(n * n_elems * n_queries * 4e-9, Counter::kIsRate);
}

void RegisterAll() {
  for (const KernelTable* kernels : AvailableKernels()) {
    const std::string name = "Attend/" + std::string(IsaName(kernels->isa)) + "/";
    benchmark::RegisterBenchmark((name + "decode/keys:1024").c_str(), [=](benchmark::State& s) {
      BenchAttend(s, kernels, 1, 1024, 256);
    });
    benchmark::RegisterBenchmark(
        (name + "decode_group_of_8/keys:1024").c_str(),
        [=](benchmark::State& s) { BenchAttend(s, kernels, 8, 1024, 256); });
    benchmark::RegisterBenchmark((name + "chunk_of_64/keys:512").c_str(),
                                 [=](benchmark::State& s) { BenchAttend(s, kernels, 64, 512, 1); });
  }
}

const bool kRegistered = (RegisterAll(), true);

}  // namespace
}  // namespace shoal
