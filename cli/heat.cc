#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "cli/commands.h"
#include "cli/offline_model.h"
#include "cli/progress.h"
#include "cli/text_io.h"
#include "engine/quality/heat_counter.h"

namespace shoal {
namespace {

struct HeatOptions {
  OfflineModelOptions model;
  std::string prompts;
  std::string out;
};

// The ids of each line that is not empty.
absl::StatusOr<std::vector<std::vector<int32_t>>> ReadPrompts(const std::string& path,
                                                              const Tokenizer& tokenizer) {
  SHOAL_ASSIGN_OR_RETURN(const std::string text, ReadText(path));
  std::vector<std::vector<int32_t>> prompts;
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(text, '\n'))) {
    if (line.empty()) continue;
    SHOAL_ASSIGN_OR_RETURN(auto ids, EncodeText(tokenizer, line));
    if (!ids.empty()) prompts.push_back(std::move(ids));
  }
  if (!prompts.empty()) return prompts;
  return absl::InvalidArgumentError(
      absl::StrCat("--prompts: ", path, " has no text; write one prompt a line"));
}

absl::Status RunHeat(const HeatOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const OfflineModel offline, LoadOfflineModel(options.model));
  LoadedModel& model = *offline.model;
  SHOAL_ASSIGN_OR_RETURN(const auto prompts, ReadPrompts(options.prompts, *offline.tokenizer));
  absl::StatusOr<ExpertHeat> heat = absl::InternalError("not run");
  {
    ProgressLine progress("heat", ProgressUnit::kTokens);
    heat =
        CountHeat({.engine = &model.engine(),
                   .kv_cache = &model.kv_cache(),
                   .ctx_size = options.model.ctx_size,
                   .prompts = prompts,
                   .on_progress = [&](int64_t done, int64_t all) { progress.Update(done, all); }});
  }
  SHOAL_RETURN_IF_ERROR(heat.status());
  heat->model = model.model_name();
  if (options.out.empty()) return WriteStandardOutput(EncodeHeat(*heat));
  return ReplaceFile(MachineFileSystem(), options.out, EncodeHeat(*heat));
}

}  // namespace

void AddHeatCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<HeatOptions>();
  CLI::App* command = app.add_subcommand(
      "heat",
      "Count which experts some prompts use: JSON with rows and gate weight of every expert, for "
      "`shoal import --quantize --heat`");
  AddOfflineModelOptions(command, &options->model);
  command
      ->add_option("--prompts", options->prompts,
                   "UTF-8 file, one prompt a line, as it is: no chat template is applied")
      ->required();
  command->add_option("-o,--out", options->out, "File to write; empty: standard output");
  command->callback([options, exit_code] { *exit_code = ReportStatus("heat", RunHeat(*options)); });
}

}  // namespace shoal
