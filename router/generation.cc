#include "router/generation.h"

#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"

namespace shoal {

Generation::Generation(Params params, const Tokenizer* tokenizer,
                       std::function<void()> wake_batcher)
    : params_(std::move(params)),
      tokenizer_(tokenizer),
      created_(MonotonicNow()),
      wake_batcher_(std::move(wake_batcher)),
      detokenizer_(tokenizer, {.continues = params_.continues_text}),
      stop_strings_(params_.stop) {
  SHOAL_CHECK_GE(params_.prompt_ids.size(), 1U);
  SHOAL_CHECK_GE(params_.max_tokens, 1);
}

bool Generation::Accept(int32_t id) {
  int64_t n_tokens = 0;
  {
    MutexLock lock(&mu_);
    n_tokens = ++progress_.n_tokens;
  }
  const bool end = tokenizer_->IsEndOfGeneration(id) && !params_.ignore_eos;
  const bool last = end || n_tokens >= params_.max_tokens;
  std::string text = detokenizer_.Add(id);
  if (last) text += detokenizer_.Flush();
  std::string shown = stop_strings_.Add(text);
  const bool finished = last || stop_strings_.found();
  if (finished) shown += stop_strings_.Flush();
  const FinishReason reason =
      end || stop_strings_.found() ? FinishReason::kStop : FinishReason::kLength;
  Publish(shown, finished, reason, absl::OkStatus());
  return !finished;
}

FinishReason Generation::finish_reason() const {
  MutexLock lock(&mu_);
  return progress_.reason;
}

void Generation::Fail(absl::Status status) {
  Publish("", /*finished=*/true, FinishReason::kStop, std::move(status));
}

void Generation::Publish(std::string_view text, bool finished, FinishReason reason,
                         absl::Status status) {
  if (text.empty() && !finished) return;
  std::function<void()> on_progress;
  {
    MutexLock lock(&mu_);
    if (progress_.finished) return;
    progress_.text += text;
    progress_.finished = finished;
    progress_.reason = reason;
    progress_.status = std::move(status);
    blocked_.store(progress_.text.size() >= kMaxStreamBufferBytes, std::memory_order_relaxed);
    on_progress = on_progress_;
  }
  if (on_progress) on_progress();
}

Generation::Progress Generation::Take() {
  Progress taken;
  bool was_blocked = false;
  {
    MutexLock lock(&mu_);
    taken = progress_;
    progress_.text.clear();
    was_blocked = blocked_.exchange(false, std::memory_order_relaxed);
  }
  if (was_blocked) wake_batcher_();
  return taken;
}

void Generation::Cancel() {
  cancelled_.store(true, std::memory_order_relaxed);
  wake_batcher_();
}

void Generation::SetOnProgress(std::function<void()> on_progress) {
  bool call = false;
  std::function<void()> copy = on_progress;
  {
    MutexLock lock(&mu_);
    on_progress_ = std::move(on_progress);
    call = progress_.finished || !progress_.text.empty();
  }
  if (call && copy) copy();
}

}  // namespace shoal
