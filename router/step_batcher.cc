#include "router/step_batcher.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

namespace shoal {

StepBatcher::StepBatcher(Engine* engine, Admission* admission, Options options)
    : engine_(engine),
      admission_(admission),
      options_(options),
      step_meter_(engine->config().n_layers, engine->config().MaxExperts()) {
  SHOAL_CHECK_GE(options_.prefill_chunk, 1);
  SHOAL_CHECK_GE(options_.max_sequences, 1);
  SHOAL_CHECK_LE(options_.max_sequences, kMaxBatchSequences);
  SHOAL_CHECK_LE(options_.max_sequences, options_.max_step_tokens);
  SHOAL_CHECK_LE(options_.max_step_tokens, kMaxStepTokens);
  running_.reserve(options_.max_sequences);
  engine_->set_observer(&step_meter_);
}

StepBatcher::~StepBatcher() {
  Stop();
  engine_->set_observer(nullptr);
}

void StepBatcher::Start() {
  thread_ = std::thread([this] { ThreadMain(); });
}

void StepBatcher::Stop() {
  if (!thread_.joinable()) return;
  admission_->Close();  // First: nothing may be queued behind the last look at the queue.
  stop_.store(true);
  admission_->Wake();
  thread_.join();
}

void StepBatcher::ThreadMain() {
  while (!stop_.load()) {
    const uint64_t seen = admission_->n_changes();
    UpdateRunning();
    if (!RunStep()) admission_->WaitForChange(seen);
  }
  FailAll(absl::UnavailableError("the router is stopping"));
}

void StepBatcher::UpdateRunning() {
  std::erase_if(running_, [this](const Running& running) {
    if (running.done) return true;
    if (!running.generation->cancelled()) return false;
    CountEnd(*running.generation, running.n_tokens, AnswerEnd::kAbort);
    return true;
  });
  for (const auto& dropped : admission_->DropCancelled()) CountEnd(*dropped, 0, AnswerEnd::kAbort);
  while (static_cast<int>(running_.size()) < options_.max_sequences) {
    auto admitted = admission_->Next();
    if (!admitted.has_value()) break;
    request_meter_.OnAdmitted(MonotonicNow() - admitted->generation->created());
    running_.push_back(
        {.generation = std::move(admitted->generation), .kv = std::move(admitted->kv)});
  }
  n_running_.store(static_cast<int>(running_.size()));
}

bool StepBatcher::RunStep() {
  PlanStep();
  if (step_.empty()) return false;
  size_t n_logits = 0;
  size_t n_rows = 0;
  for (const StepSequence& sequence : step_) {
    n_logits += sequence.n_logits;
    n_rows += sequence.token_ids.size();
  }
  const size_t vocab_size = engine_->config().vocab_size;
  if (logits_.size() < n_logits * vocab_size) logits_.resize(n_logits * vocab_size);
  const StepContext context{.step_id = n_steps_.fetch_add(1) + 1, .cancelled = &stop_};
  step_meter_.BeginStep();
  engine_->Step(std::span(step_), context,
                MatView<float>(logits_.data(), static_cast<int64_t>(n_logits),
                               static_cast<int64_t>(vocab_size)));
  n_rows_.fetch_add(n_rows);
  AcceptResults();
  step_meter_.EndStep(static_cast<int64_t>(n_rows));
  return true;
}

void StepBatcher::PlanStep() {
  step_.clear();
  members_.clear();
  int64_t n_left = options_.max_step_tokens;
  // Decode rows first: they always fit, since max_sequences <= max_step_tokens.
  for (Running& running : running_) {
    if (running.decodes && !running.generation->blocked()) AddRows(&running, &n_left);
  }
  for (Running& running : running_) {
    if (!running.decodes && n_left > 0) AddRows(&running, &n_left);
  }
}

void StepBatcher::AddRows(Running* running, int64_t* n_left) {
  StepSequence sequence{.kv = running->kv.get()};
  if (running->decodes) {
    sequence.token_ids = std::span(&running->last_id, 1);
  } else {
    const std::span<const int32_t> prompt(running->generation->params().prompt_ids);
    const auto rest = prompt.subspan(running->kv->length());
    const size_t n_rows = std::min(
        {rest.size(), static_cast<size_t>(options_.prefill_chunk), static_cast<size_t>(*n_left)});
    sequence.token_ids = rest.first(n_rows);
    sequence.n_logits = n_rows == rest.size() ? 1 : 0;
  }
  *n_left -= static_cast<int64_t>(sequence.token_ids.size());
  step_.push_back(sequence);
  members_.push_back(running);
}

void StepBatcher::AcceptResults() {
  const size_t vocab_size = engine_->config().vocab_size;
  size_t row = 0;
  for (size_t i = 0; i < step_.size(); ++i) {
    Running& running = *members_[i];
    const size_t logits_row = row;
    row += step_[i].n_logits;
    if (!step_[i].status.ok()) {
      if (!stop_.load()) {
        Log(LogLevel::kError, "sequence_failed", {{"reason", step_[i].status.ToString()}});
      }
      CountEnd(*running.generation, running.n_tokens, AnswerEnd::kError);
      running.generation->Fail(step_[i].status);
      running.done = true;
      continue;
    }
    if (!running.decodes) {
      request_meter_.OnPromptRows(static_cast<int64_t>(step_[i].token_ids.size()));
    }
    if (step_[i].n_logits == 0) continue;
    AcceptToken(&running, std::span(logits_).subspan(logits_row * vocab_size, vocab_size));
  }
}

void StepBatcher::AcceptToken(Running* running, std::span<const float> logits) {
  Generation& generation = *running->generation;
  running->last_id = sampler_.Sample(logits, generation.params().sampling, running->kv->length());
  // Counted before the reader learns of it: who has an answer finds it in the metrics.
  const absl::Time now = MonotonicNow();
  if (running->decodes) {
    request_meter_.OnNextToken(now - running->last_token);
  } else {
    request_meter_.OnFirstToken(now - generation.created());
  }
  running->last_token = now;
  running->decodes = true;
  ++running->n_tokens;
  running->done = !generation.Accept(running->last_id);
  if (!running->done) return;
  CountEnd(
      generation, running->n_tokens,
      generation.finish_reason() == FinishReason::kStop ? AnswerEnd::kStop : AnswerEnd::kLength);
}

void StepBatcher::CountEnd(const Generation& generation, int64_t n_tokens, AnswerEnd end) {
  request_meter_.OnEnd(end, MonotonicNow() - generation.created(), generation.n_prompt_tokens(),
                       n_tokens);
}

void StepBatcher::FailAll(const absl::Status& status) {
  for (Running& running : running_) {
    if (!running.done) CountEnd(*running.generation, running.n_tokens, AnswerEnd::kError);
    running.generation->Fail(status);
  }
  for (const auto& waiting : admission_->TakeQueued()) {
    CountEnd(*waiting, 0, AnswerEnd::kError);
    waiting->Fail(status);
  }
  running_.clear();
  n_running_.store(0);
}

}  // namespace shoal
