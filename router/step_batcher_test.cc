#include "router/step_batcher.h"

#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "gtest/gtest.h"
#include "model/tokenizer.h"
#include "tests/support/local_model.h"

namespace shoal {
namespace {

constexpr char kModel[] = "models/tales-moe-11m-q8_0.gguf";

// One answer as its reader sees it; waits by condition, never by time.
class Reader {
 public:
  explicit Reader(std::shared_ptr<Generation> generation) : generation_(std::move(generation)) {
    generation_->SetOnProgress([this] {
      MutexLock lock(&mu_);
      progress_ = true;
      changed_.SignalAll();
    });
  }
  ~Reader() { generation_->SetOnProgress(nullptr); }

  // The next piece of the answer.
  Generation::Progress Next() {
    {
      MutexLock lock(&mu_);
      while (!progress_) changed_.Wait(&mu_);
      progress_ = false;
    }
    return generation_->Take();
  }

  // Everything up to the end; `last` gets the final state.
  std::string Finish(Generation::Progress* last = nullptr) {
    std::string text;
    while (true) {
      Generation::Progress progress = Next();
      text += progress.text;
      if (!progress.finished) continue;
      if (last != nullptr) *last = progress;
      return text;
    }
  }

 private:
  const std::shared_ptr<Generation> generation_;
  Mutex mu_;
  CondVar changed_;
  bool progress_ SHOAL_GUARDED_BY(mu_) = false;
};

class StepBatcherTest : public testing::Test {
 protected:
  StepBatcherTest() {
    auto tokenizer = Tokenizer::Create(model_.tokenizer().vocabulary);
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
  }

  std::vector<int32_t> Ids(const std::string& text) {
    return *tokenizer_->Encode(text, /*parse_special=*/true);
  }

  // A greedy answer of n_tokens that does not stop at the end of text.
  std::shared_ptr<Generation> Make(std::vector<int32_t> prompt_ids, int64_t n_tokens) {
    return std::make_shared<Generation>(Generation::Params{.prompt_ids = std::move(prompt_ids),
                                                           .max_tokens = n_tokens,
                                                           .sampling = {.temperature = 0},
                                                           .stop = {},
                                                           .ignore_eos = true},
                                        tokenizer_.get(), [this] { admission_.Wake(); });
  }

  // What Make's answer must be, from the engine alone.
  std::string Expected(const std::vector<int32_t>& prompt_ids, int n_tokens) {
    Detokenizer detokenizer(tokenizer_.get());
    std::string text;
    for (const int32_t id : model_.Greedy(prompt_ids, n_tokens)) text += detokenizer.Add(id);
    return text + detokenizer.Flush();
  }

  LocalModel model_{kModel, {.kv_tokens = 1024}};
  std::unique_ptr<Tokenizer> tokenizer_;
  Admission admission_{&model_.kv_cache(), /*max_queued=*/8};
};

// Goal: an answer does not depend on who shares its steps or how its prompt was cut.
// Method: eight prompts at once, small chunks and steps, against the engine's own greedy answers.
TEST_F(StepBatcherTest, I10_AnswersInABatchAreTheAnswersAlone) {
  std::vector<std::vector<int32_t>> prompts;
  for (const char* animal : {"fox", "cat", "dog", "goose", "owl", "hen", "frog", "mole"}) {
    prompts.push_back(Ids(std::string("Once upon a time there was a very clever ") + animal));
  }
  std::vector<std::string> expected;
  for (const auto& prompt : prompts) expected.push_back(Expected(prompt, 24));

  StepBatcher batcher(&model_.engine(), &admission_,
                      {.max_step_tokens = 11, .prefill_chunk = 3, .max_sequences = 5});
  std::vector<std::unique_ptr<Reader>> readers;
  for (const auto& prompt : prompts) {
    const auto generation = Make(prompt, 24);
    readers.push_back(std::make_unique<Reader>(generation));
    ASSERT_TRUE(admission_.Submit(generation).ok());
  }
  batcher.Start();
  for (size_t i = 0; i < readers.size(); ++i) {
    Generation::Progress last;
    EXPECT_EQ(readers[i]->Finish(&last), expected[i]) << i;
    EXPECT_EQ(last.n_tokens, 24);
    EXPECT_EQ(last.reason, FinishReason::kLength);
  }
  batcher.Stop();
}

TEST_F(StepBatcherTest, F25_ACancelledAnswerStopsAndItsRoomComesBack) {
  const int64_t n_free = model_.kv_cache().free_tokens();
  StepBatcher batcher(&model_.engine(), &admission_, {});
  batcher.Start();
  const auto abandoned = Make(Ids("Once upon a time"), 900);
  Reader reader(abandoned);
  ASSERT_TRUE(admission_.Submit(abandoned).ok());
  reader.Next();
  EXPECT_LT(model_.kv_cache().free_tokens(), 128);
  abandoned->Cancel();
  // Has room only once the other one has gone.
  const auto next = Make(Ids("Once upon a time"), 900);
  Reader next_reader(next);
  ASSERT_TRUE(admission_.Submit(next).ok());
  next_reader.Next();
  EXPECT_LT(abandoned->Take().n_tokens, 900);
  next->Cancel();
  batcher.Stop();
  EXPECT_EQ(model_.kv_cache().free_tokens(), n_free);
}

TEST_F(StepBatcherTest, WhatWaitsIsServedInTurnAndTheQueueIsBounded) {
  StepBatcher batcher(&model_.engine(), &admission_, {});
  std::vector<std::shared_ptr<Generation>> all;
  for (int i = 0; i < 8; ++i) {
    all.push_back(Make(Ids("A fox"), 500));  // Two of them fill the cache.
    ASSERT_TRUE(admission_.Submit(all.back()).ok());
  }
  EXPECT_EQ(admission_.Submit(Make(Ids("A fox"), 500)).code(),
            absl::StatusCode::kResourceExhausted);
  Reader first(all[0]);
  Reader last(all[7]);
  batcher.Start();
  first.Next();
  EXPECT_GE(admission_.n_queued(), 6U);
  for (int i = 0; i < 7; ++i) all[i]->Cancel();
  last.Next();
  EXPECT_EQ(admission_.n_queued(), 0U);
  batcher.Stop();
}

// Goal: a cancelled answer that waits holds no place, also while all sequences run.
TEST_F(StepBatcherTest, F25_ACancelledAnswerLeavesTheQueueWhileOthersRun) {
  StepBatcher batcher(&model_.engine(), &admission_, {.max_sequences = 1});
  batcher.Start();
  const auto running = Make(Ids("A fox"), 900);
  Reader reader(running);
  ASSERT_TRUE(admission_.Submit(running).ok());
  reader.Next();
  std::vector<std::shared_ptr<Generation>> waiting;
  for (int i = 0; i < 8; ++i) {
    waiting.push_back(Make(Ids("A fox"), 10));
    ASSERT_TRUE(admission_.Submit(waiting.back()).ok());
  }
  for (const auto& generation : waiting) generation->Cancel();
  const int64_t before = reader.Next().n_tokens;
  int64_t now = before;
  while (now < before + 3) now = reader.Next().n_tokens;  // Two steps have begun since.
  EXPECT_EQ(admission_.n_queued(), 0U);
  EXPECT_LT(now, 900);
  running->Cancel();
  batcher.Stop();
}

TEST_F(StepBatcherTest, StopEndsEveryAnswerWithAnError) {
  StepBatcher batcher(&model_.engine(), &admission_, {});
  const auto running = Make(Ids("A fox"), 1000);
  const auto waiting = Make(Ids("A fox"), 1000);
  Reader running_reader(running);
  Reader waiting_reader(waiting);
  ASSERT_TRUE(admission_.Submit(running).ok());
  ASSERT_TRUE(admission_.Submit(waiting).ok());
  batcher.Start();
  running_reader.Next();
  batcher.Stop();
  Generation::Progress last;
  running_reader.Finish(&last);
  EXPECT_FALSE(last.status.ok());
  waiting_reader.Finish(&last);
  EXPECT_FALSE(last.status.ok());
  EXPECT_EQ(admission_.Submit(Make(Ids("A fox"), 1)).code(), absl::StatusCode::kUnavailable);
}

// Goal: an idle batcher does nothing.
// Method: after an answer's end the count of steps stands still until the next one.
TEST_F(StepBatcherTest, TakesNoStepsThatNobodyNeeds) {
  StepBatcher batcher(&model_.engine(), &admission_, {});
  batcher.Start();
  const std::vector<int32_t> prompt = Ids("A fox");
  for (uint64_t round = 1; round <= 3; ++round) {
    const auto generation = Make(prompt, 5);
    Reader reader(generation);
    ASSERT_TRUE(admission_.Submit(generation).ok());
    reader.Finish();
    EXPECT_EQ(batcher.n_steps(), 5 * round);  // The prompt's step gives the first token.
    EXPECT_EQ(batcher.n_rows(), (prompt.size() + 4) * round);
  }
}

}  // namespace
}  // namespace shoal
