#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "engine/sampler.h"
#include "model/tokenizer.h"
#include "router/stop_strings.h"

namespace shoal {

enum class FinishReason { kStop, kLength };

// One answer under way: the step batcher puts ids in at one end, whoever serves the client takes
// text out at the other. Between the two lie the detokenizer, the stop strings and a buffer.
class Generation {
 public:
  struct Params {
    std::vector<int32_t> prompt_ids;  // At least one, all inside the vocabulary.
    int64_t max_tokens = 1;           // At least one.
    SamplingParams sampling;
    std::vector<std::string> stop;
    bool ignore_eos = false;
    bool continues_text = false;  // The answer goes on with the prompt's text: Detokenizer.
  };

  // `tokenizer` outlives this. `wake_batcher` is called, from the reader's thread, when this was
  // cancelled or has room again.
  Generation(Params params, const Tokenizer* tokenizer, std::function<void()> wake_batcher);

  const Params& params() const { return params_; }
  int64_t n_prompt_tokens() const { return static_cast<int64_t>(params_.prompt_ids.size()); }
  absl::Time created() const { return created_; }  // By the monotonic clock.
  // Positions that prompt and answer may take together.
  int64_t n_positions_max() const { return n_prompt_tokens() + params_.max_tokens; }

  // --- The step batcher's end; called from one thread at a time.

  // Takes the next id of the answer. False when that was the last one.
  bool Accept(int32_t id);
  // How it ended, once Accept has said false.
  FinishReason finish_reason() const SHOAL_EXCLUDES(mu_);
  // Ends the answer with an error; an answer that has ended stays as it is.
  void Fail(absl::Status status);
  // Nobody reads any more: stop within a step.
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  // The reader is behind by kMaxStreamBufferBytes: leave out of steps until it has caught up.
  bool blocked() const { return blocked_.load(std::memory_order_relaxed); }

  // --- The reader's end; one reader, any thread.

  struct Progress {
    std::string text;      // Whole UTF-8 characters; all since the last Take.
    int64_t n_tokens = 0;  // Ids so far, those that gave no text included.
    bool finished = false;
    FinishReason reason = FinishReason::kStop;  // When finished and status is OK.
    absl::Status status;
  };
  Progress Take() SHOAL_EXCLUDES(mu_);
  void Cancel();
  // `on_progress` is called when there is something to Take, from the batcher's thread or from
  // this one; it must not block. Null ends the calls, but for one that may be under way.
  void SetOnProgress(std::function<void()> on_progress) SHOAL_EXCLUDES(mu_);

 private:
  // Adds text and the end, if it is one; tells the reader.
  void Publish(std::string_view text, bool finished, FinishReason reason, absl::Status status)
      SHOAL_EXCLUDES(mu_);

  const Params params_;
  const Tokenizer* const tokenizer_;
  const absl::Time created_;
  const std::function<void()> wake_batcher_;
  Detokenizer detokenizer_;  // Batcher's thread, as is stop_strings_.
  StopStrings stop_strings_;
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> blocked_{false};
  mutable Mutex mu_;  // Leaf lock: calls nothing outside the class while held.
  Progress progress_ SHOAL_GUARDED_BY(mu_);
  std::function<void()> on_progress_ SHOAL_GUARDED_BY(mu_);
};

}  // namespace shoal
