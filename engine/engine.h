#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "base/thread_pool.h"
#include "engine/exchange.h"
#include "engine/expert_executor.h"
#include "engine/kv_cache.h"
#include "engine/model_slice.h"
#include "kernels/kernel_table.h"
#include "model/mat.h"
#include "model/model_config.h"
#include "model/weight_source.h"

namespace shoal {

// One sequence's part of a step: a chunk of its prompt, or the one row of a decode.
struct StepSequence {
  KvSequence* kv = nullptr;                 // Rows take positions kv->length() and on.
  std::span<const int32_t> token_ids = {};  // At least one; all in [0, vocab_size).
  int n_logits = 1;                         // Logits of that many last rows: 0, 1 or all.
  absl::Status status = {};                 // Set by Step: OK, or why this sequence got no logits.
};

// Where a step's time goes. Experts: from the choice of experts until their sum, workers and the
// network included.
enum class StepPart : uint8_t { kEmbed, kAttention, kGate, kExperts, kHead };
inline constexpr int kStepParts = 5;

// What an observer sees of a step; for tests and for timing. All calls come from Step's thread.
class StepObserver {
 public:
  virtual ~StepObserver() = default;
  virtual void OnHidden(int /*layer*/, MatView<const float> /*hidden*/) {}
  virtual void OnRouting(int /*layer*/, const Routing& /*routing*/) {}
  // All since the call before, or since the step began, was this part's.
  virtual void OnPartDone(StepPart /*part*/) {}
};

// The forward pass over one slice of a model: embed, layers, logits. It knows no network: experts
// come through an ExpertExecutor. Results of a row depend on its own sequence only, never on the
// batch, the chunks or the threads (docs/arithmetic.md). Thread-compatible: one Step at a time.
class Engine {
 public:
  struct Options {
    int max_step_tokens = 512;     // Rows of one step, at most kMaxStepTokens.
    bool activations_f32 = false;  // The slow reference path: activations are not rounded.
  };

  // Loads the trunk (all but the experts) of `slice`. Everything passed by pointer or reference to
  // KernelTable outlives the engine.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(
      const ModelConfig& config, const WeightSource& source, const ModelSlice& slice,
      const KernelTable& kernels, ThreadPool* pool, ExpertExecutor* experts, Exchange* exchange,
      KvCache* kv_cache, Options options);
  ~Engine();

  // Computes the rows of all sequences and appends them to their caches. `logits` gets the rows
  // asked for, sequence after sequence: [sum of n_logits, vocab_size]; a sequence whose status is
  // not OK has its rows unspecified and its cache length unchanged.
  void Step(std::span<StepSequence> sequences, const StepContext& step, MatView<float> logits);

  const ModelConfig& config() const;
  size_t trunk_bytes() const;
  void set_observer(StepObserver* observer);  // May be null.

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal
