#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "cli/commands.h"
#include "cli/local_workers.h"
#include "cli/model_loader.h"
#include "cli/safetensors_writer.h"
#include "cli/worker_report.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

struct LogitsOptions {
  ModelOptions model;
  std::vector<int32_t> ids;
  std::string kv_type = "f16";
  std::string activations = "int8";
  std::string out;
  int workers = 0;
  int chunk = kMaxStepTokens;
  int batch = 1;
  bool json = false;
};

absl::Status CheckIds(const std::vector<int32_t>& ids, int vocab_size, int64_t ctx_size) {
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("--ids: ", id, " is not in [0, ", vocab_size, ")"));
    }
  }
  if (static_cast<int64_t>(ids.size()) <= ctx_size) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--ids: ", ids.size(), " ids are more than the context of ", ctx_size, "; raise --ctx-size"));
}

// Feeds `ids` in chunks, in a batch with rotated copies of itself, and returns the logits of its
// every position.
absl::StatusOr<Mat<float>> ComputeLogits(LoadedModel& model, const LogitsOptions& options) {
  const int n = static_cast<int>(options.ids.size());
  const int vocab_size = model.config().vocab_size;
  std::vector<std::vector<int32_t>> prompts(options.batch, options.ids);
  std::vector<std::unique_ptr<KvSequence>> caches(options.batch);
  for (int b = 0; b < options.batch; ++b) {
    std::rotate(prompts[b].begin(), prompts[b].begin() + b % n, prompts[b].end());
    SHOAL_ASSIGN_OR_RETURN(caches[b], model.kv_cache().Reserve(n));
  }
  const int chunk = std::min(options.chunk, kMaxStepTokens / options.batch);
  Mat<float> logits(n, vocab_size);
  for (int begin = 0; begin < n; begin += chunk) {
    const int rows = std::min(chunk, n - begin);
    std::vector<StepSequence> sequences(options.batch);
    for (int b = 0; b < options.batch; ++b) {
      sequences[b].kv = caches[b].get();
      sequences[b].token_ids = std::span(prompts[b]).subspan(begin, rows);
      sequences[b].n_logits = b == 0 ? rows : 0;
    }
    model.engine().Step(sequences, {.step_id = uint64_t(begin)}, logits.view().Rows(begin, rows));
    for (const StepSequence& sequence : sequences) SHOAL_RETURN_IF_ERROR(sequence.status);
  }
  return logits;
}

// Who computed the experts: one line of JSON.
absl::Status PrintReport(LoadedModel& model) {
  SHOAL_ASSIGN_OR_RETURN(nlohmann::ordered_json workers, WorkerReports(model));
  const LocalExperts* local = model.local_experts();
  const nlohmann::ordered_json report = {
      {"workers", std::move(workers)},
      {"router_expert_bytes", local == nullptr ? 0 : local->resident_bytes()}};
  std::printf("%s\n", report.dump().c_str());
  return absl::OkStatus();
}

absl::Status RunLogits(LogitsOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(options.model.kv_type, ParseKvType(options.kv_type));
  options.model.activations_f32 = options.activations == "f32";
  std::unique_ptr<LocalWorkers> cluster;
  if (options.workers > 0) {
    SHOAL_ASSIGN_OR_RETURN(cluster, LocalWorkers::StartFor(options.model, options.workers));
    options.model.workers = cluster->addresses();
  }
  SHOAL_ASSIGN_OR_RETURN(std::unique_ptr<LoadedModel> model, LoadedModel::Load(options.model));
  SHOAL_RETURN_IF_ERROR(CheckIds(options.ids, model->config().vocab_size, model->ctx_size()));
  SHOAL_ASSIGN_OR_RETURN(const Mat<float> logits, ComputeLogits(*model, options));
  SHOAL_RETURN_IF_ERROR(WriteSafetensors(options.out, "logits", logits.view()));
  return options.json ? PrintReport(*model) : absl::OkStatus();
}

}  // namespace

void AddLogitsCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<LogitsOptions>();
  CLI::App* command =
      app.add_subcommand("logits", "Write the logits of every position of a prompt to a file");
  command->add_option("MODEL", options->model.model_path, "GGUF file, or folder of safetensors")
      ->required();
  command->add_option("--ids", options->ids, "Token ids, separated by commas")
      ->required()
      ->delimiter(',');
  command
      ->add_option("--out", options->out,
                   "safetensors file to write: logits, F32 [n_tokens, vocab_size]")
      ->required();
  command->add_option("--workers", options->workers, "Worker processes; 0: experts run here")
      ->check(CLI::Range(0, 64));
  command->add_option("--threads", options->model.threads, "Threads; 0: one per core")
      ->check(CLI::Range(0, 1024));
  command
      ->add_option("--ctx-size", options->model.ctx_size,
                   "Longest sequence; 0: the model's context, at most 4096")
      ->check(CLI::Range(int64_t{0}, kMaxContext));
  command->add_option("--kv-type", options->kv_type, "What the cache stores: f16, f32 or q8_0")
      ->check(CLI::IsMember({"f16", "f32", "q8_0"}));
  command
      ->add_option(
          "--activations", options->activations,
          "int8, or f32: the reference path that rounds no activation, several times slower")
      ->check(CLI::IsMember({"int8", "f32"}));
  command->add_option("--chunk", options->chunk, "Prompt rows of one step")
      ->check(CLI::Range(1, kMaxStepTokens));
  command
      ->add_option("--batch", options->batch,
                   "Sequences computed together: this one and rotated copies of it")
      ->check(CLI::Range(1, kMaxBatchSequences));
  command->add_flag("--json", options->json, "Print who computed the experts, as one line of JSON");
  command->callback([options, exit_code] {
    const absl::Status status = RunLogits(*options);
    if (status.ok()) return;
    std::fprintf(stderr, "shoal logits: %s\n", std::string(status.message()).c_str());
    *exit_code = 1;
  });
}

}  // namespace shoal
