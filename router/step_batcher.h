#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/sampler.h"
#include "router/admission.h"
#include "router/request_meter.h"
#include "router/step_meter.h"

namespace shoal {

// Continuous batching (Yu et al. 2022, "Orca"): sequences join and leave between steps. A step has
// one row of every sequence that decodes, and chunks of the prompts still being read. Runs on one
// thread of its own, which sleeps while there is nothing to compute. Thread-safe.
class StepBatcher {
 public:
  struct Options {
    int max_step_tokens = 512;  // Rows of a step, at most kMaxStepTokens.
    int prefill_chunk = 256;    // Rows of one prompt in a step.
    int max_sequences = 64;     // Running at once, at most kMaxBatchSequences and max_step_tokens.
  };

  // `engine` and `admission` outlive this.
  StepBatcher(Engine* engine, Admission* admission, Options options);
  // Stops.
  ~StepBatcher();

  void Start();
  // Ends the current step, fails every answer that runs or waits, and joins the thread.
  void Stop();

  // What steps and answers cost so far.
  const StepMeter& steps() const { return step_meter_; }
  RequestMeter& requests() { return request_meter_; }
  const RequestMeter& requests() const { return request_meter_; }

  int n_running() const { return n_running_.load(); }
  uint64_t n_steps() const { return n_steps_.load(); }
  uint64_t n_rows() const { return n_rows_.load(); }  // Rows of all steps so far.

 private:
  struct Running {
    std::shared_ptr<Generation> generation;
    std::unique_ptr<KvSequence> kv;
    int32_t last_id = 0;   // The newest id of the answer, not yet in the cache.
    int64_t n_tokens = 0;  // Of the answer.
    absl::Time last_token = {};
    bool decodes = false;  // The prompt has been read.
    bool done = false;
  };

  void ThreadMain();
  // Lets cancelled and finished sequences go and admits waiting ones.
  void UpdateRunning();
  // One step over what can run; false when nothing can.
  bool RunStep();
  // Chooses the rows of the next step into step_ and members_.
  void PlanStep();
  void AddRows(Running* running, int64_t* n_left);
  void AcceptResults();
  void AcceptToken(Running* running, std::span<const float> logits);
  void CountEnd(const Generation& generation, int64_t n_tokens, AnswerEnd end);
  void FailAll(const absl::Status& status);

  Engine* const engine_;
  Admission* const admission_;
  const Options options_;
  std::atomic<bool> stop_{false};
  std::atomic<int> n_running_{0};
  std::atomic<uint64_t> n_steps_{0};
  std::atomic<uint64_t> n_rows_{0};
  StepMeter step_meter_;
  RequestMeter request_meter_;

  // Owned by the thread.
  std::vector<Running> running_;  // In the order of admission.
  std::vector<StepSequence> step_;
  std::vector<Running*> members_;  // Whose rows step_ has.
  std::vector<float> logits_;      // Grows to the most rows that a step has asked for.
  Sampler sampler_;
  std::thread thread_;
};

}  // namespace shoal
