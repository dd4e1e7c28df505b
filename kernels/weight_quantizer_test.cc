#include "kernels/weight_quantizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <map>
#include <string>

#include "kernels/kernels_testing.h"
#include "tests/support/safetensors.h"

namespace shoal {
namespace {

constexpr int64_t kCols = 1024;

class WeightQuantizerTest : public testing::TestWithParam<DType> {
 protected:
  const TestTensors tensors_ = ReadTestTensors("tests/data/quants/blocks.safetensors");
  const std::vector<float> source_ = tensors_.at("source").As<float>();
  const std::vector<float> importance_ = tensors_.at("imatrix").As<float>();
};

std::vector<std::byte> Quantized(DType dtype, const std::vector<float>& x, int64_t cols,
                                 std::span<const float> importance) {
  const auto rows = static_cast<int64_t>(x.size()) / cols;
  std::vector<std::byte> out(static_cast<size_t>(rows * RowBytes(dtype, cols)));
  for (int64_t r = 0; r < rows; ++r) {
    QuantizeWeights(dtype,
                    std::span(x).subspan(static_cast<size_t>(r * cols), static_cast<size_t>(cols)),
                    importance, out.data() + r * RowBytes(dtype, cols));
  }
  return out;
}

std::vector<float> Values(DType dtype, int64_t cols, const std::vector<std::byte>& blocks) {
  const int64_t rows = static_cast<int64_t>(blocks.size()) / RowBytes(dtype, cols);
  const KernelTable& kernels = *AvailableKernels().front();
  const PackedMatrix matrix = Pack(kernels, dtype, rows, cols, blocks);
  std::vector<float> out(static_cast<size_t>(rows * cols));
  for (int64_t r = 0; r < rows; ++r) kernels.unpack_row(matrix.view(), r, out.data() + r * cols);
  return out;
}

// Root of the mean square of what is lost, against that of the weights.
double RelativeRms(const std::vector<float>& values, const std::vector<float>& source,
                   std::span<const float> importance) {
  double lost = 0.0;
  double all = 0.0;
  for (size_t i = 0; i < source.size(); ++i) {
    const double w = importance.empty() ? 1.0 : importance[i % importance.size()];
    const double e = static_cast<double>(values[i]) - source[i];
    lost += w * e * e;
    all += w * source[i] * source[i];
  }
  return std::sqrt(lost / all);
}

// The bar: llama.cpp's blocks of the same rows, made with the same importance.
TEST_P(WeightQuantizerTest, LosesNoMoreThanThePeer) {
  const std::string name{Traits(GetParam()).name};
  const std::vector<float> peer = tensors_.at(name + ".values").As<float>();
  const auto plain = Values(GetParam(), kCols, Quantized(GetParam(), source_, kCols, {}));
  const auto weighted =
      Values(GetParam(), kCols, Quantized(GetParam(), source_, kCols, importance_));
  const double rms = RelativeRms(plain, source_, {});
  const double peer_rms = RelativeRms(peer, source_, {});
  const double weighted_rms = RelativeRms(weighted, source_, importance_);
  const double peer_weighted_rms = RelativeRms(peer, source_, importance_);
  const double both = RelativeRms(weighted, source_, {});
  std::printf("%s: %.4f, with the imatrix %.4f, by importance %.4f; peer %.4f, %.4f\n",
              name.c_str(), rms, both, weighted_rms, peer_rms, peer_weighted_rms);
  EXPECT_LE(rms, 1.01 * peer_rms);
  EXPECT_LE(both, 1.01 * peer_rms);
  EXPECT_LE(weighted_rms, 1.01 * peer_weighted_rms);
}

// The same blocks on every machine: a model's id comes of them.
TEST_P(WeightQuantizerTest, GivesTheGoldenBlocks) {
  const std::map<DType, uint64_t> golden = {
      {DType::kQ8_0, 0x537b9ce1edc03b92},   {DType::kQ5_0, 0x6dbe38685c27d32b},
      {DType::kQ4_0, 0x6b585bd5fa31ed63},   {DType::kQ4_K, 0x046ad1e893febe88},
      {DType::kQ5_K, 0x2c36ea64682db08f},   {DType::kQ6_K, 0x45920eaf36d716cb},
      {DType::kIQ4_NL, 0xc8e8553191def135}, {DType::kMXFP4, 0xa68f6ec68edc62bf},
      {DType::kTQ2_0, 0x213390046ccce8bd},  {DType::kTQ1_0, 0xd1092c28a5c1e3b3}};
  EXPECT_EQ(Hash(Quantized(GetParam(), source_, kCols, importance_)), golden.at(GetParam()))
      << std::hex << "0x" << Hash(Quantized(GetParam(), source_, kCols, importance_));
}

TEST_P(WeightQuantizerTest, ZerosStayZerosAndSmallNumbersStayFinite) {
  const std::vector<float> zeros(256, 0.0F);
  for (const float x : Values(GetParam(), 256, Quantized(GetParam(), zeros, 256, {}))) {
    EXPECT_EQ(x, 0.0F);
  }
  for (const float size : {0x1p-149F, 0x1p-90F, 0x1p-20F, 60000.0F}) {
    std::vector<float> x = RandomFloats(256, 71);
    for (float& v : x) v *= size / 30.0F;
    for (const float v : Values(GetParam(), 256, Quantized(GetParam(), x, 256, {}))) {
      EXPECT_TRUE(std::isfinite(v)) << size;
    }
  }
}

std::vector<DType> Makeable() {
  std::vector<DType> types = AllTypes(DType::kF32);
  std::erase_if(types, [](DType dtype) { return !CanQuantize(dtype); });
  return types;
}

INSTANTIATE_TEST_SUITE_P(Types, WeightQuantizerTest, testing::ValuesIn(Makeable()),
                         [](const auto& info) { return std::string(Traits(info.param).name); });

}  // namespace
}  // namespace shoal
