#include "engine/quality/evaluate.h"

#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "base/file_system_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/local_model.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr char kModel[] = "tests/data/models/qwen3_moe/model.gguf";

std::vector<int32_t> SomeIds(int n) {
  std::vector<int32_t> ids(static_cast<size_t>(n));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>((i * 37 + i * i) % 300);
  return ids;
}

class EvaluateTest : public ::testing::Test {
 protected:
  EvaluateTest() { EXPECT_TRUE(files_.CreateDirectories("/d").ok()); }

  absl::StatusOr<QualityReport> Run(LocalModel& model, const EvalCut& cut, EvalRun run = {}) {
    windows_ = *PlanWindows(static_cast<int64_t>(ids_.size()), cut);
    run.engine = &model.engine();
    run.kv_cache = &model.kv_cache();
    run.pool = &pool_;
    run.ids = ids_;
    run.windows = windows_;
    return Evaluate(run);
  }

  ReferenceHeader Header(const LocalModel& model, const EvalCut& cut, int n_top) const {
    return {.vocab_size = model.config().vocab_size,
            .n_top = n_top,
            .ctx_size = cut.ctx_size,
            .stride = cut.stride,
            .n_rows = CountScored(*PlanWindows(static_cast<int64_t>(ids_.size()), cut)),
            .text = TextDigest(ids_),
            .model = "it"};
  }

  MemoryFileSystem files_;
  ThreadPool pool_{2};
  const std::vector<int32_t> ids_ = SomeIds(50);
  std::vector<EvalWindow> windows_;
};

// Goal: perplexity is that of the logits themselves.
// Method: the same windows through LocalModel::Logits, softmax and mean written out here.
TEST_F(EvaluateTest, PerplexityIsThatOfTheLogits) {
  LocalModel model(kModel, {});
  const EvalCut cut{.ctx_size = 20};
  const auto report = Run(model, cut);
  ASSERT_TRUE(report.ok()) << report.status();
  const auto vocab_size = static_cast<size_t>(model.config().vocab_size);
  double nll = 0;
  int n = 0;
  for (const size_t begin : {size_t{0}, size_t{20}}) {
    const std::vector<float> logits = model.Logits(std::span(ids_).subspan(begin, 20), 20);
    for (size_t row = 10; row < 19; ++row, ++n) {
      const std::span<const float> x = std::span(logits).subspan(row * vocab_size, vocab_size);
      double sum = 0;
      for (const float value : x) sum += std::exp(static_cast<double>(value));
      nll += std::log(sum) - x[static_cast<size_t>(ids_[begin + row + 1])];
    }
  }
  EXPECT_EQ(report->n_scored, n);
  EXPECT_NEAR(report->Perplexity(), std::exp(nll / n), 1e-6 * std::exp(nll / n));
  EXPECT_GT(report->PerplexityError(), 0.0);
}

TEST_F(EvaluateTest, AModelComparedWithItselfLosesNothing) {
  LocalModel model(kModel, {});
  const EvalCut cut{.ctx_size = 16, .stride = 8};
  auto writer = *ReferenceWriter::Create(&files_, "/d/ref", Header(model, cut, 8));
  const auto saved = Run(model, cut, {.save = writer.get()});
  ASSERT_TRUE(saved.ok()) << saved.status();
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_EQ(saved->n_scored, 49);
  const auto reader = *ReferenceReader::Open(&files_, "/d/ref");
  EXPECT_TRUE(CheckReference(reader->header(), Header(model, cut, 8)).ok());
  const auto report = Run(model, cut, {.reference = reader.get()});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->nll, saved->nll);
  EXPECT_EQ(report->Top1Agreement(), 1.0);
  EXPECT_NEAR(report->MeanKl(), 0.0, 1e-6);
  EXPECT_NEAR(report->ReferencePerplexity(), report->Perplexity(), 1e-4 * report->Perplexity());
}

TEST_F(EvaluateTest, AnotherArithmeticIsNearAndNotEqual) {
  LocalModel exact("tests/data/quants/model-Q4_0.gguf", {.activations_f32 = true});
  LocalModel rounded("tests/data/quants/model-Q4_0.gguf", {});
  const EvalCut cut{.ctx_size = 50, .stride = 50};
  auto writer =
      *ReferenceWriter::Create(&files_, "/d/ref", Header(exact, cut, exact.config().vocab_size));
  ASSERT_TRUE(Run(exact, cut, {.save = writer.get()}).ok());
  ASSERT_TRUE(writer->Finish().ok());
  const auto reader = *ReferenceReader::Open(&files_, "/d/ref");
  const auto report = Run(rounded, cut, {.reference = reader.get()});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_GT(report->MeanKl(), 1e-6);
  EXPECT_LT(report->MeanKl(), 5e-3);
  EXPECT_GT(report->Top1Agreement(), 0.8);
}

TEST_F(EvaluateTest, EveryWindowMayBeginWithBos) {
  LocalModel model(kModel, {});
  const EvalCut cut{.ctx_size = 20};
  const auto without = Run(model, cut);
  const auto with = Run(model, cut, {.window_bos = 7});
  ASSERT_TRUE(without.ok() && with.ok());
  EXPECT_EQ(with->n_scored, without->n_scored);
  EXPECT_NE(with->nll, without->nll);
}

TEST_F(EvaluateTest, AReferenceOfSomethingElseIsRefusedByWhatDiffers) {
  const ReferenceHeader mine{.vocab_size = 4, .n_top = 2, .ctx_size = 8, .n_rows = 2, .model = "m"};
  const auto message = [&mine](const ReferenceHeader& other) {
    return std::string(CheckReference(other, mine).message());
  };
  ReferenceHeader other = mine;
  other.vocab_size = 5;
  EXPECT_THAT(message(other), HasSubstr("5 tokens"));
  other = mine;
  other.stride = 4;
  EXPECT_THAT(message(other), HasSubstr("--stride 4"));
  other = mine;
  other.text[3] = std::byte{1};
  EXPECT_THAT(message(other), HasSubstr("another text"));
  EXPECT_EQ(message(mine), "");
}

}  // namespace
}  // namespace shoal
