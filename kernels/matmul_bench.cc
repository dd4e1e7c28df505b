#include <benchmark/benchmark.h>

#include <string>

#include "kernels/kernels_testing.h"

// Products at the shapes of OLMoE-1B-7B's experts. Decode: one row, matrices that together exceed
// every cache, GB/s of weights. Prefill: 64 rows, Gop/s (two operations per weight and row). One
// thread, rates of its processor time.
namespace shoal {
namespace {

constexpr int64_t kWorkingSetBytes = int64_t{192} << 20;

std::vector<PackedMatrix> Matrices(const KernelTable& kernels, DType dtype, int64_t rows,
                                   int64_t cols, int64_t total_bytes) {
  const std::vector<std::byte> file = RandomWeights(dtype, rows, cols, 1);
  const int64_t n = 1 + total_bytes / static_cast<int64_t>(file.size());
  std::vector<PackedMatrix> matrices;
  for (int64_t i = 0; i < n; ++i) matrices.push_back(Pack(kernels, dtype, rows, cols, file));
  return matrices;
}

void BenchMatmul(benchmark::State& state, const KernelTable* kernels, DType dtype, int64_t rows,
                 int64_t cols, int64_t n_rows) {
  const int64_t set = n_rows == 1 ? kWorkingSetBytes : 0;
  const std::vector<PackedMatrix> w = Matrices(*kernels, dtype, rows, cols, set);
  const std::vector<float> x = RandomFloats(n_rows * cols, 2);
  const QuantizedRows rounded(*kernels, x, n_rows, cols);
  const RowsView view = Traits(dtype).quantized ? rounded.view() : FloatRows(x, n_rows, cols);
  std::vector<float> y(static_cast<size_t>(n_rows * rows));
  size_t next = 0;
  for (auto _ : state) {
    const PackedMatrix& matrix = w[next++ % w.size()];
    for (int64_t begin = 0; begin < rows; begin += 64) {
      const int64_t end = begin + 64 < rows ? begin + 64 : rows;
      kernels->matmul(matrix.view(), view, begin, end, y.data(), rows);
    }
    benchmark::DoNotOptimize(y.data());
    benchmark::ClobberMemory();
  }
  const double n = static_cast<double>(state.iterations());
  using benchmark::Counter;
  state.counters["GB/s"] =
      Counter(n * static_cast<double>(w[0].n_bytes()) * 1e-9, Counter::kIsRate);
  state.counters["Gop/s"] =
      Counter(n * 2e-9 * static_cast<double>(rows * cols * n_rows), Counter::kIsRate);
}

void RegisterAll() {
  for (const KernelTable* kernels : AvailableKernels()) {
    for (const DType dtype : AllTypes(DType::kF32)) {
      for (const int64_t n_rows : {1, 4, 64}) {
        const std::string name = "Matmul/" + std::string(IsaName(kernels->isa)) + "/" +
                                 std::string(Traits(dtype).name) +
                                 "/1024x2048/rows:" + std::to_string(n_rows);
        benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
          BenchMatmul(state, kernels, dtype, 1024, 2048, n_rows);
        });
      }
    }
  }
}

const bool kRegistered = (RegisterAll(), true);

}  // namespace
}  // namespace shoal
