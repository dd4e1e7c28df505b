#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/status_macros.h"
#include "cli/commands.h"
#include "cli/local_workers.h"
#include "cli/model_loader.h"
#include "cli/worker_report.h"
#include "engine/sampler.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

struct BenchOptions {
  ModelOptions model;
  std::string kv_type = "f16";
  int prompt = 512;
  int gen = 64;
  int depth = 0;
  int sequences = 1;
  std::string tokens = "random";
  int runs = 5;
  int workers = 0;
  bool json = false;
};

struct Rates {
  std::vector<double> prefill;  // Tokens per second, one number a run.
  std::vector<double> decode;
  double experts_per_step = 0;     // Different experts of all layers, of decoding in the last run.
  nlohmann::ordered_json network;  // Of decoding in the last run; null without workers.
};

// Feeds `ids` to a sequence in steps as long as they may be; logits of the last only.
absl::Status Feed(LoadedModel& model, KvSequence* kv, std::span<const int32_t> ids) {
  Mat<float> logits(1, model.config().vocab_size);
  for (size_t begin = 0; begin < ids.size(); begin += kMaxStepTokens) {
    const size_t n = std::min<size_t>(kMaxStepTokens, ids.size() - begin);
    StepSequence sequence{
        .kv = kv, .token_ids = ids.subspan(begin, n), .n_logits = begin + n == ids.size() ? 1 : 0};
    model.engine().Step({&sequence, 1}, {.step_id = begin}, logits.view());
    SHOAL_RETURN_IF_ERROR(sequence.status);
  }
  return absl::OkStatus();
}

// Tokens per second of a prompt in a fresh sequence.
absl::StatusOr<double> TimePrefill(LoadedModel& model, std::span<const int32_t> ids) {
  SHOAL_ASSIGN_OR_RETURN(const auto kv, model.kv_cache().Reserve(ids.size()));
  const absl::Time start = MonotonicNow();
  SHOAL_RETURN_IF_ERROR(Feed(model, kv.get(), ids));
  return static_cast<double>(ids.size()) / absl::ToDoubleSeconds(MonotonicNow() - start);
}

// Tokens per second, all together, of sequences that decode side by side, each after a context
// that is not timed. ids: [n_steps * n_sequences]; context: what each begins with; on_start is
// called between the two.
absl::StatusOr<double> TimeDecode(LoadedModel& model, std::span<const int32_t> context,
                                  std::span<const int32_t> ids, int n_sequences,
                                  absl::FunctionRef<void()> on_start) {
  const size_t n_steps = ids.size() / n_sequences;
  std::vector<std::unique_ptr<KvSequence>> kvs;
  std::vector<StepSequence> sequences(n_sequences);
  for (StepSequence& sequence : sequences) {
    SHOAL_ASSIGN_OR_RETURN(auto kv, model.kv_cache().Reserve(context.size() + n_steps));
    SHOAL_RETURN_IF_ERROR(Feed(model, kv.get(), context));
    sequence.kv = kv.get();
    kvs.push_back(std::move(kv));
  }
  Mat<float> logits(n_sequences, model.config().vocab_size);
  on_start();
  const absl::Time start = MonotonicNow();
  for (size_t step = 0; step < n_steps; ++step) {
    for (int i = 0; i < n_sequences; ++i) {
      sequences[i].token_ids = ids.subspan(step * n_sequences + i, 1);
    }
    model.engine().Step(sequences, {.step_id = step}, logits.view());
    for (const StepSequence& sequence : sequences) SHOAL_RETURN_IF_ERROR(sequence.status);
  }
  return static_cast<double>(ids.size()) / absl::ToDoubleSeconds(MonotonicNow() - start);
}

// Ids spread over the vocabulary, so that routing is too; the same in every run.
std::vector<int32_t> RandomIds(int n, int vocab_size) {
  std::vector<int32_t> ids(n);
  for (int i = 0; i < n; ++i) {
    ids[i] = static_cast<int32_t>(CounterUniform(/*seed=*/1, i) * vocab_size);
  }
  return ids;
}

// What the sequences decode, step by step: [n_steps * n_sequences].
std::vector<int32_t> DecodeIds(const BenchOptions& options, int vocab_size) {
  std::vector<int32_t> ids = RandomIds(options.gen * options.sequences, vocab_size);
  if (options.tokens == "random") return ids;
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i) % options.sequences;
  return ids;
}

// Counts the experts that a step touches, each once a layer.
class ExpertCounter : public StepObserver {
 public:
  void OnRouting(int /*layer*/, const Routing& routing) override {
    ids_.assign(routing.topk_ids.begin(), routing.topk_ids.end());
    std::sort(ids_.begin(), ids_.end());
    n_ += std::unique(ids_.begin(), ids_.end()) - ids_.begin();
  }
  int64_t n() const { return n_; }

 private:
  std::vector<int32_t> ids_;
  int64_t n_ = 0;
};

absl::StatusOr<Rates> Measure(LoadedModel& model, const BenchOptions& options) {
  const int vocab_size = model.config().vocab_size;
  const std::vector<int32_t> prompt = RandomIds(options.prompt, vocab_size);
  std::vector<int32_t> context = RandomIds(options.depth, vocab_size);
  if (options.tokens == "constant") std::fill(context.begin(), context.end(), 0);
  const std::vector<int32_t> gen = DecodeIds(options, vocab_size);
  Rates rates;
  for (int run = -1; run < options.runs; ++run) {  // The first warms up and is not counted.
    SHOAL_ASSIGN_OR_RETURN(const double prefill, TimePrefill(model, prompt));
    RemoteExperts* remote = model.remote_experts();
    DispatchCounters before;
    ExpertCounter touched;
    SHOAL_ASSIGN_OR_RETURN(const double decode,
                           TimeDecode(model, context, gen, options.sequences, [&] {
                             if (remote != nullptr) before = remote->counters();
                             model.engine().set_observer(&touched);
                           }));
    model.engine().set_observer(nullptr);
    rates.experts_per_step = static_cast<double>(touched.n()) / options.gen;
    if (remote != nullptr) {
      rates.network = NetworkReport(before, remote->counters(), static_cast<int>(gen.size()));
    }
    if (run < 0) continue;
    if (!options.json) {
      std::fprintf(stderr, "run %d of %d: prefill %.1f, decode %.1f tokens/s\n", run + 1,
                   options.runs, prefill, decode);
    }
    rates.prefill.push_back(prefill);
    rates.decode.push_back(decode);
  }
  return rates;
}

nlohmann::ordered_json Spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {{"median", values[values.size() / 2]}, {"min", values.front()}, {"max", values.back()}};
}

absl::Status RunBench(BenchOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(options.model.kv_type, ParseKvType(options.kv_type));
  const int64_t decoded = int64_t{options.depth} + options.gen;
  options.model.kv_tokens =
      std::max(int64_t{options.prompt}, options.sequences * (decoded + kKeyTile)) + kKeyTile;
  std::unique_ptr<LocalWorkers> cluster;
  if (options.workers > 0) {
    SHOAL_ASSIGN_OR_RETURN(cluster, LocalWorkers::StartFor(options.model, options.workers));
    options.model.workers = cluster->addresses();
  }
  SHOAL_ASSIGN_OR_RETURN(std::unique_ptr<LoadedModel> model, LoadedModel::Load(options.model));
  if (std::max<int64_t>(options.prompt, decoded) > model->ctx_size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--prompt=", options.prompt, ", --depth + --gen=", decoded,
        ": each at most the context of ", model->ctx_size(), " tokens; see --ctx-size"));
  }
  SHOAL_ASSIGN_OR_RETURN(Rates rates, Measure(*model, options));
  SHOAL_ASSIGN_OR_RETURN(nlohmann::ordered_json workers, WorkerReports(*model));
  int64_t rss_bytes = ResidentBytes();
  for (const auto& worker : workers) rss_bytes += worker["rss_bytes"].get<int64_t>();
  nlohmann::ordered_json report = {
      {"prefill_tokens_per_s", Spread(rates.prefill)},
      {"decode_tokens_per_s", Spread(rates.decode)},
      {"threads", model->n_threads()},
      {"workers", options.workers},
      {"depth", options.depth},
      {"sequences", options.sequences},
      {"experts_per_step", rates.experts_per_step},
      {"isa", std::string(IsaName(model->kernels().isa))},
      {"model_bytes", model->n_bytes()},
      {"rss_bytes", rss_bytes},  // Of all processes together.
  };
  if (options.workers > 0) {
    report["network"] = std::move(rates.network);
    report["worker_reports"] = std::move(workers);
  }
  std::printf("%s\n", report.dump(options.json ? -1 : 2).c_str());
  return absl::OkStatus();
}

}  // namespace

void AddBenchCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command =
      app.add_subcommand("bench", "Measure prefill and decode in tokens per second, without HTTP");
  command->add_option("MODEL", options->model.model_path, "GGUF file, or folder of safetensors")
      ->required();
  command->add_option("--prompt", options->prompt, "Tokens of the prompt")
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--gen", options->gen, "Tokens to decode, one by one, in each sequence")
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--depth", options->depth, "Tokens of context before what is decoded")
      ->check(CLI::Range(0, 1 << 20));
  command
      ->add_option("--sequences", options->sequences,
                   "Sequences that decode side by side; the rate is of all together")
      ->check(CLI::Range(1, kMaxBatchSequences));
  command
      ->add_option("--tokens", options->tokens,
                   "What is decoded: random ids, or each sequence the constant id of its number, "
                   "after a context of zeros, as llama-batched-bench does")
      ->check(CLI::IsMember({"random", "constant"}));
  command->add_option("--runs", options->runs, "Runs, after one that is not counted")
      ->check(CLI::Range(1, 1000));
  command->add_option("--threads", options->model.threads, "Threads; 0: one per core")
      ->check(CLI::Range(0, 1024));
  command->add_option("--workers", options->workers, "Worker processes; 0: experts run here")
      ->check(CLI::Range(0, 64));
  command
      ->add_option("--ctx-size", options->model.ctx_size,
                   "Longest sequence; 0: the model's context, at most 4096")
      ->check(CLI::Range(int64_t{0}, kMaxContext));
  command->add_option("--kv-type", options->kv_type, "What the cache stores: f16, f32 or q8_0")
      ->check(CLI::IsMember({"f16", "f32", "q8_0"}));
  command->add_flag("--json", options->json, "Print one line of JSON and nothing else");
  command->callback([options, exit_code] {
    const absl::Status status = RunBench(*options);
    if (status.ok()) return;
    std::fprintf(stderr, "shoal bench: %s\n", std::string(status.message()).c_str());
    *exit_code = 1;
  });
}

}  // namespace shoal
