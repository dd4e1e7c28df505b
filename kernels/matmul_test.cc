#include "kernels/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/kernels_testing.h"

namespace shoal {
namespace {

constexpr DType kAllTypes[] = {DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ8_0,
                               DType::kQ4_0, DType::kQ4_K, DType::kQ6_K};

class MatmulTest : public testing::TestWithParam<DType> {};

std::string TypeName(const testing::TestParamInfo<DType>& info) {
  return std::string(Traits(info.param).name);
}

// The product in double over dequantized weights and activations, with the sum of magnitudes that
// bounds a float sum's error.
struct Exact {
  double value = 0.0;
  double magnitude = 0.0;
};

Exact ExactDot(const std::vector<float>& w, const float* x) {
  Exact out;
  for (size_t c = 0; c < w.size(); ++c) {
    const double product = static_cast<double>(w[c]) * x[c];
    out.value += product;
    out.magnitude += std::abs(product);
  }
  return out;
}

// Both activation forms against double. Tolerance: cols roundings of the running sum, at most.
TEST_P(MatmulTest, MatchesDouble) {
  const int64_t rows = 21;
  const int64_t cols = 512;
  const std::vector<std::byte> file = RandomWeights(GetParam(), rows, cols, 21);
  const std::vector<float> x = RandomFloats(3 * cols, 22);
  for (const KernelTable* kernels : AvailableKernels()) {
    const PackedMatrix w = Pack(*kernels, GetParam(), rows, cols, file);
    const QuantizedRows rounded(*kernels, x, 3, cols);
    std::vector<float> y(3 * 21);
    for (const bool q8 : {false, true}) {
      if (q8 && !Traits(GetParam()).quantized) continue;
      std::vector<float> used = x;
      if (q8) {
        for (size_t i = 0; i < used.size(); ++i) {
          used[i] = static_cast<float>(rounded.q8[i]) * rounded.scales[i / 32];
        }
      }
      kernels->matmul(w.view(), q8 ? rounded.view() : FloatRows(x, 3, cols), 0, rows, y.data(),
                      rows);
      for (int64_t r = 0; r < rows; ++r) {
        std::vector<float> weights(static_cast<size_t>(cols));
        kernels->unpack_row(w.view(), r, weights.data());
        for (int64_t i = 0; i < 3; ++i) {
          const Exact exact = ExactDot(weights, used.data() + i * cols);
          ASSERT_NEAR(y[static_cast<size_t>(i * rows + r)], exact.value,
                      exact.magnitude * 0x1p-20)
              << IsaName(kernels->isa) << " q8=" << q8 << " row " << r;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, MatmulTest, testing::ValuesIn(kAllTypes), TypeName);

}  // namespace
}  // namespace shoal
