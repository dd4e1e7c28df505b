#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

// What the machine allows at most: reading memory, which bounds decoding. Each thread sums its own
// 256 MB, more than any cache; beside it stand the products of kernels/matmul_bench.
namespace shoal {
namespace {

void ReadMemory(benchmark::State& state) {
  const std::vector<uint64_t> words(size_t{32} << 20, 1);
  for (auto _ : state) {
    uint64_t sums[16] = {};  // Independent, so that additions never wait for one another.
    for (size_t i = 0; i < words.size(); i += 16) {
      for (size_t j = 0; j < 16; ++j) sums[j] += words.data()[i + j];
    }
    benchmark::DoNotOptimize(sums);
  }
  const double bytes = static_cast<double>(words.size() * sizeof(uint64_t));
  state.counters["GB/s"] = benchmark::Counter(
      static_cast<double>(state.iterations()) * bytes * 1e-9, benchmark::Counter::kIsRate);
}
BENCHMARK(ReadMemory)->ThreadRange(1, 2)->UseRealTime();

}  // namespace
}  // namespace shoal
