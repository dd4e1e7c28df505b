#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
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
  int runs = 5;
  int workers = 0;
  bool json = false;
};

struct Rates {
  std::vector<double> prefill;  // Tokens per second, one number a run.
  std::vector<double> decode;
  nlohmann::ordered_json network;  // Of decoding in the last run; null without workers.
};

// Feeds `ids` to one fresh sequence, `rows_per_step` at a time, and returns tokens per second.
absl::StatusOr<double> TimeSequence(LoadedModel& model, std::span<const int32_t> ids,
                                    int rows_per_step) {
  SHOAL_ASSIGN_OR_RETURN(const auto kv, model.kv_cache().Reserve(ids.size()));
  Mat<float> logits(1, model.config().vocab_size);
  const absl::Time start = MonotonicNow();
  for (size_t begin = 0; begin < ids.size(); begin += rows_per_step) {
    const size_t n = std::min<size_t>(rows_per_step, ids.size() - begin);
    StepSequence sequence{.kv = kv.get(),
                          .token_ids = ids.subspan(begin, n),
                          .n_logits = begin + n == ids.size() || rows_per_step == 1 ? 1 : 0};
    model.engine().Step({&sequence, 1}, {.step_id = begin}, logits.view());
    SHOAL_RETURN_IF_ERROR(sequence.status);
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

absl::StatusOr<Rates> Measure(LoadedModel& model, const BenchOptions& options) {
  const std::vector<int32_t> prompt = RandomIds(options.prompt, model.config().vocab_size);
  const std::vector<int32_t> gen = RandomIds(options.gen, model.config().vocab_size);
  Rates rates;
  for (int run = -1; run < options.runs; ++run) {  // The first warms up and is not counted.
    double prefill = 0;
    double decode = 0;
    if (!prompt.empty()) {
      SHOAL_ASSIGN_OR_RETURN(prefill, TimeSequence(model, prompt, kMaxStepTokens));
    }
    RemoteExperts* remote = model.remote_experts();
    const DispatchCounters before = remote != nullptr ? remote->counters() : DispatchCounters{};
    if (!gen.empty()) {
      SHOAL_ASSIGN_OR_RETURN(decode, TimeSequence(model, gen, 1));
    }
    if (remote != nullptr) {
      rates.network = NetworkReport(before, remote->counters(), options.gen);
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
  options.model.kv_tokens = std::max(options.prompt, options.gen) + kKeyTile;
  std::unique_ptr<LocalWorkers> cluster;
  if (options.workers > 0) {
    SHOAL_ASSIGN_OR_RETURN(cluster, LocalWorkers::StartFor(options.model, options.workers));
    options.model.workers = cluster->addresses();
  }
  SHOAL_ASSIGN_OR_RETURN(std::unique_ptr<LoadedModel> model, LoadedModel::Load(options.model));
  if (std::max(options.prompt, options.gen) > model->ctx_size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--prompt and --gen: at most the context of ", model->ctx_size()));
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
  command->add_option("MODEL", options->model.model_path, "GGUF file")->required();
  command->add_option("--prompt", options->prompt, "Tokens of the prompt")
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--gen", options->gen, "Tokens to decode, one by one, from an empty context")
      ->check(CLI::Range(1, 1 << 20));
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
  command->add_option("--kv-type", options->kv_type, "What the cache stores: f16 or f32")
      ->check(CLI::IsMember({"f16", "f32"}));
  command->add_flag("--json", options->json, "Print one line of JSON and nothing else");
  command->callback([options, exit_code] {
    const absl::Status status = RunBench(*options);
    if (status.ok()) return;
    std::fprintf(stderr, "shoal bench: %s\n", std::string(status.message()).c_str());
    *exit_code = 1;
  });
}

}  // namespace shoal
