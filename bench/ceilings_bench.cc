#include <benchmark/benchmark.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/thread_pool.h"
#include "bench/inner_loops.h"
#include "kernels/kernel_table.h"
#include "kernels/matmul.h"

// What the machine allows at most: reading memory, which bounds decoding, and each instruction
// set's inner loop, which bounds prefill (bench/inner_loops.h). Beside them stand the products of
// kernels/matmul_bench. ReadMemory: each thread sums its own 256 MB, more than most caches.
// ReadExperts: threads take pieces of matrices of 1.2 MB that lie anywhere in 4 GiB, as a step's
// experts do.
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

constexpr size_t kMatrixBytes = 1179648;  // 1024 x 2048 in Q4_0.
constexpr size_t kMatrices = (size_t{4} << 30) / kMatrixBytes;

// As the kernels read weights: front to back in wide registers, lines asked for as far ahead.
#if defined(__x86_64__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
uint64_t
SumBytes(const std::byte* p, size_t n_bytes, const PrefetchDistances& ahead) {
  uint64_t sums[16] = {};
  for (size_t at = 0; at < n_bytes; at += 128) {
    for (size_t line = at; ahead.far != 0 && line < at + 128; line += 64) {
      if (ahead.near != 0) __builtin_prefetch(p + line + ahead.near, 0, 3);
      __builtin_prefetch(p + line + ahead.far, 0, 2);
    }
    const auto* words = reinterpret_cast<const uint64_t*>(p + at);
    for (size_t j = 0; j < 16; ++j) sums[j] += words[j];
  }
  uint64_t sum = 0;
  for (const uint64_t s : sums) sum += s;
  return sum;
}

void ReadExperts(benchmark::State& state) {
  const auto n_threads = static_cast<int>(state.range(0));
  AlignedBuffer memory(kMatrices * kMatrixBytes);
  for (size_t i = 0; i < memory.size(); i += 4096) memory.data()[i] = std::byte{1};
  ThreadPool pool(n_threads);
  std::mt19937 random(1);
  constexpr int64_t kPieces = 16;
  std::atomic<uint64_t> sum{0};
  for (auto _ : state) {
    std::vector<size_t> experts(8);
    for (size_t& expert : experts) expert = random() % kMatrices;
    pool.ParallelFor(8 * kPieces, 1, [&](int64_t i, int64_t, int) {
      const size_t at =
          experts[i / kPieces] * kMatrixBytes + i % kPieces * (kMatrixBytes / kPieces);
      sum += SumBytes(memory.data() + at, kMatrixBytes / kPieces, WeightPrefetch(1, false));
    });
  }
  benchmark::DoNotOptimize(sum.load());
  state.counters["GB/s"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * 8 * kMatrixBytes * 1e-9,
                         benchmark::Counter::kIsRate);
}
BENCHMARK(ReadExperts)->Arg(1)->Arg(2)->UseRealTime();

#if defined(__x86_64__)

void RegisterInnerLoops() {
  for (const KernelTable* kernels : AvailableKernels()) {
    double (*loop)(int, bool) = nullptr;
    if (kernels->isa == Isa::kAvx2) loop = avx2::InnerLoop;
    if (kernels->isa == Isa::kAvxVnni) loop = avxvnni::InnerLoop;
    if (kernels->isa == Isa::kAvx512) loop = avx512::InnerLoop;
    if (kernels->isa == Isa::kAmx) loop = amx::InnerLoop;
    if (loop == nullptr) continue;
    for (const bool minima : {false, true}) {
      const std::string name =
          "InnerLoop/" + std::string(IsaName(kernels->isa)) + (minima ? "/minima" : "");
      benchmark::RegisterBenchmark(name.c_str(),
                                   [=](benchmark::State& state) {
                                     double operations = 0;
                                     for (auto _ : state) operations += loop(10000, minima);
                                     state.counters["Gop/s"] = benchmark::Counter(
                                         operations * 1e-9, benchmark::Counter::kIsRate);
                                   })
          ->ThreadRange(1, 2)
          ->UseRealTime();
    }
  }
}

const bool kRegistered = (RegisterInnerLoops(), true);

#endif

}  // namespace
}  // namespace shoal
