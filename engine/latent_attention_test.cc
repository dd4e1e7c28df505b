#include "engine/latent_attention.h"

#include <random>
#include <vector>

#include "base/thread_pool.h"
#include "gtest/gtest.h"
#include "kernels/kernel_table.h"
#include "tests/support/random_experts.h"

namespace shoal {
namespace {

// Goal: heads that are computed together have the bits of each by itself, rounded activations too.
TEST(HeadMatricesTest, EachHeadIsItsOwnProduct) {
  constexpr int kHeads = 3;
  constexpr int kRows = 5;
  constexpr int kStride = 48;  // The input has more than the matrices read.
  ModelConfig config = TinyExpertsConfig();
  config.n_experts = kHeads;
  config.ffn_dim = 20;
  config.hidden_dim = 32;
  for (const DType dtype : {DType::kF32, DType::kQ8_0}) {
    const auto weights = RandomExpertWeights(config, dtype, 5);
    for (const KernelTable* kernels : AvailableKernels()) {
      ThreadPool pool(2);
      MatrixLoader loader(*weights, *kernels, 1);
      const EngineContext context{.config = config,
                                  .slice = {},
                                  .kernels = *kernels,
                                  .pool = &pool,
                                  .experts = nullptr,
                                  .exchange = nullptr,
                                  .kv_cache = nullptr,
                                  .activations_f32 = false};
      const auto heads = HeadMatrices::Load("blk.0.ffn_gate_exps.weight", kHeads, &loader, 0);
      ASSERT_TRUE(heads.ok()) << heads.status();
      Mat<float> x(kRows, kHeads * kStride);
      std::mt19937 rng(6);
      std::normal_distribution<float> normal;
      for (int64_t i = 0; i < kRows * kHeads * kStride; ++i) x.data()[i] = normal(rng);
      Mat<float> y(kRows, kHeads * 24);
      ProductInput input(kRows * kHeads, 32);
      heads->Multiply(context, x.view(), kStride, y.view(), 24, &input);
      for (int h = 0; h < kHeads; ++h) {
        const auto w = loader.LoadExpert("blk.0.ffn_gate_exps.weight", h, 0);
        ASSERT_TRUE(w.ok()) << w.status();
        for (int t = 0; t < kRows; ++t) {
          Mat<float> alone(1, w->rows());
          ProductInput row(1, 32);
          row.Set(*kernels, &pool, {x.row(t) + h * kStride, 1, 32}, context.TakesInt8(*w));
          MatMul(*kernels, &pool, row, {{&*w, alone.view()}});
          for (int64_t i = 0; i < w->rows(); ++i) {
            EXPECT_EQ(y.row(t)[h * 24 + i], alone.data()[i]) << h << " " << t << " " << i;
          }
        }
      }
    }
  }
}

// Goal: heads cut out of one matrix are those of the same numbers stored head by head.
// Method: 20 rows a head, of which it has 7 from row 4 on, as rows and as columns.
TEST(HeadMatricesTest, CutOutOfOneMatrix) {
  constexpr int kHeads = 3;
  constexpr HeadCut kRows = {.period = 20, .begin = 4, .length = 7, .transposed = false};
  constexpr HeadCut kColumns = {.period = 20, .begin = 4, .length = 7, .transposed = true};
  ModelConfig config = TinyExpertsConfig();
  config.n_experts = kHeads;
  config.ffn_dim = 20;
  config.hidden_dim = 32;
  const char* name = "blk.0.ffn_gate_exps.weight";
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ4_0}) {
    const auto weights = RandomExpertWeights(config, dtype, 7);
    const KernelTable& kernels = *AvailableKernels().front();
    MatrixLoader loader(*weights, kernels, 1);
    std::vector<float> all(kHeads * 20 * 32);
    for (int h = 0; h < kHeads; ++h) {
      const auto w = loader.LoadExpert(name, h, 0);
      ASSERT_TRUE(w.ok()) << w.status();
      for (int r = 0; r < 20; ++r) kernels.unpack_row(w->view(), r, &all[(h * 20 + r) * 32]);
    }
    for (int h = 0; h < kHeads; ++h) {
      const int first = h * 20 + 4;
      const auto rows = loader.LoadRows(name, first, 7, 0);
      const auto columns = loader.LoadTransposed(name, first, 7);
      ASSERT_TRUE(rows.ok() && columns.ok()) << rows.status() << columns.status();
      EXPECT_EQ(rows->dtype(), dtype);
      EXPECT_EQ(columns->dtype(), Traits(dtype).block_elems > 1 ? DType::kF32 : dtype);
      std::vector<float> row(32);
      std::vector<float> column(7);
      for (int r = 0; r < 7; ++r) {
        kernels.unpack_row(rows->view(), r, row.data());
        for (int c = 0; c < 32; ++c) {
          kernels.unpack_row(columns->view(), c, column.data());
          EXPECT_EQ(row[c], all[(first + r) * 32 + c]);
          EXPECT_EQ(column[r], row[c]);
        }
      }
    }
    for (const HeadCut& cut : {kRows, kColumns}) {
      EXPECT_TRUE(HeadMatrices::LoadCut(name, kHeads, cut, &loader, 0).ok());
      EXPECT_FALSE(HeadMatrices::LoadCut(name, kHeads + 1, cut, &loader, 0).ok());
    }
  }
}

}  // namespace
}  // namespace shoal
