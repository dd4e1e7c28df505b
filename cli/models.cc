#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "cli/commands.h"
#include "cli/data_option.h"
#include "cli/text_io.h"

namespace shoal {
namespace {

struct ModelsOptions {
  std::string data_dir;
  std::string model;
};

absl::Status RunList(const ModelsOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const auto data,
                         OpenDataDir(options.data_dir, DataDirectory::Access::kShared));
  SHOAL_ASSIGN_OR_RETURN(const auto entries, data->ListModels());
  std::string text;
  for (const DataDirectory::Entry& entry : entries) {
    SHOAL_ASSIGN_OR_RETURN(const SignedManifest model, data->ReadModel(entry.id));
    const auto& shards = model.manifest.shards;
    const auto n_here = std::count_if(shards.begin(), shards.end(), [&](const ShardInfo& shard) {
      return data->shards().Has(shard);
    });
    absl::StrAppend(&text, ToHex(entry.id), "  ", entry.name, "  ", entry.architecture, "  ",
                    ReadableBytes(entry.n_bytes), "  ", n_here, "/", shards.size(), " shards\n");
  }
  if (entries.empty()) {
    std::fprintf(stderr, "shoal models list: no model in %s; `shoal import MODEL.gguf` adds one\n",
                 options.data_dir.c_str());
  }
  return WriteStandardOutput(text);
}

absl::Status RunRemove(const ModelsOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const auto data,
                         OpenDataDir(options.data_dir, DataDirectory::Access::kExclusive));
  SHOAL_ASSIGN_OR_RETURN(const Sha256Digest id, data->FindModel(options.model));
  SHOAL_RETURN_IF_ERROR(data->RemoveModel(id));
  return WriteStandardOutput(
      absl::StrCat("removed ", ToHex(id), "; `shoal models gc` frees its shards\n"));
}

absl::Status RunSweep(const ModelsOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const auto data,
                         OpenDataDir(options.data_dir, DataDirectory::Access::kExclusive));
  SHOAL_ASSIGN_OR_RETURN(const uint64_t freed, data->SweepShards());
  return WriteStandardOutput(absl::StrCat("freed ", ReadableBytes(freed), "\n"));
}

CLI::App* AddPart(CLI::App* models, const char* name, const char* what,
                  const std::shared_ptr<ModelsOptions>& options, int* exit_code,
                  absl::Status (*run)(const ModelsOptions&)) {
  CLI::App* part = models->add_subcommand(name, what);
  AddDataDirOption(part, &options->data_dir);
  part->callback([options, exit_code, run, title = absl::StrCat("models ", name)] {
    *exit_code = ReportStatus(title.c_str(), run(*options));
  });
  return part;
}

}  // namespace

void AddModelsCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<ModelsOptions>();
  CLI::App* models = app.add_subcommand("models", "List and remove models of a data directory");
  models->require_subcommand(1);
  AddPart(models, "list", "Print each model: id, name, architecture, size, shards that are here",
          options, exit_code, RunList);
  AddPart(models, "rm", "Remove a model's manifest; its shards stay until `shoal models gc`",
          options, exit_code, RunRemove)
      ->add_option("MODEL", options->model, "Its id, 8 or more digits of it, or its name")
      ->required();
  AddPart(models, "gc", "Remove every shard that no model here names, and say how much that freed",
          options, exit_code, RunSweep);
}

}  // namespace shoal
