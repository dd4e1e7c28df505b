#include "cli/offline_model.h"

#include <utility>

#include "CLI/CLI.hpp"
#include "base/file_system.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "cli/data_option.h"
#include "cli/named_model.h"

namespace shoal {

void AddOfflineModelOptions(CLI::App* command, OfflineModelOptions* options) {
  command->add_option("MODEL", options->model, kModelHelp)->required();
  AddDataDirOption(command, &options->data_dir);
  command
      ->add_option("--ctx-size", options->ctx_size,
                   "Tokens of a window: each window is read from an empty cache")
      ->check(CLI::Range(int64_t{4}, kMaxContext));
  command->add_option("--threads", options->threads, "Threads; 0: one per core")
      ->check(CLI::Range(0, 1024));
  command->add_option("--kv-type", options->kv_type, "What the cache stores: f16, f32 or q8_0")
      ->check(CLI::IsMember({"f16", "f32", "q8_0"}));
  command
      ->add_option(
          "--activations", options->activations,
          "int8, or f32: the reference path that rounds no activation, several times slower")
      ->check(CLI::IsMember({"int8", "f32"}));
}

absl::StatusOr<OfflineModel> LoadOfflineModel(const OfflineModelOptions& options) {
  OfflineModel offline;
  ModelOptions load;
  load.threads = options.threads;
  load.ctx_size = options.ctx_size;
  load.kv_tokens = options.ctx_size;
  load.activations_f32 = options.activations == "f32";
  load.max_step_tokens = kMaxStepTokens;
  SHOAL_ASSIGN_OR_RETURN(load.kv_type, ParseKvType(options.kv_type));
  SHOAL_ASSIGN_OR_RETURN(offline.data, FindNamedModel(options.model, options.data_dir, &load));
  SHOAL_ASSIGN_OR_RETURN(offline.model, LoadedModel::Load(load));
  SHOAL_ASSIGN_OR_RETURN(Vocabulary vocabulary, offline.model->vocabulary());
  SHOAL_ASSIGN_OR_RETURN(offline.tokenizer, Tokenizer::Create(std::move(vocabulary)));
  return offline;
}

absl::StatusOr<std::string> ReadText(const std::string& path) {
  return ReadFile(MachineFileSystem(), path, kMaxTextBytes);
}

absl::StatusOr<std::vector<int32_t>> EncodeText(const Tokenizer& tokenizer,
                                                const std::string& text) {
  SHOAL_ASSIGN_OR_RETURN(std::vector<int32_t> ids, tokenizer.Encode(text, false));
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  if (vocabulary.add_bos && vocabulary.bos_id >= 0) ids.insert(ids.begin(), vocabulary.bos_id);
  return ids;
}

}  // namespace shoal
