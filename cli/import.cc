#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "cli/commands.h"
#include "cli/data_option.h"
#include "cli/model_loader.h"
#include "cli/progress.h"
#include "cli/text_io.h"
#include "model/import/importer.h"

namespace shoal {
namespace {

struct ImportCommand {
  std::string path;
  std::string data_dir;
  std::string model_name;
};

void Explain(const ImportResult& result, const std::string& data_dir) {
  if (result.already_there) {
    std::fprintf(stderr, "shoal import: %s has been imported before\n", result.model_name.c_str());
    return;
  }
  std::fprintf(stderr, "shoal import: %s: %d shards, %s, %d of them new, in %s\n",
               result.model_name.c_str(), result.n_shards, ReadableBytes(result.n_bytes).c_str(),
               result.n_written, data_dir.c_str());
}

absl::Status RunImport(const ImportCommand& command) {
  SHOAL_ASSIGN_OR_RETURN(const auto data,
                         OpenDataDir(command.data_dir, DataDirectory::Access::kShared));
  absl::StatusOr<ImportResult> result = absl::InternalError("not run");
  {
    ProgressLine progress("import");
    result = ImportModel(
        data.get(),
        {.path = command.path,
         .model_name = command.model_name,
         .n_threads = std::max(DefaultThreads(), 2),  // One waits for the disk.
         .random = SystemRandom(),
         .on_progress = [&](uint64_t done, uint64_t all) { progress.Update(done, all); }});
  }
  if (!result.ok()) return result.status();
  Explain(*result, command.data_dir);
  return WriteStandardOutput(absl::StrCat(ToHex(result->model_id), "\n"));
}

std::string CheckModelName(const std::string& name) {
  constexpr size_t kMaxBytes = 256;
  if (name.size() > kMaxBytes) return absl::StrCat("longer than ", kMaxBytes, " bytes");
  const bool control = std::any_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
  });
  return control ? "has control characters" : "";
}

}  // namespace

void AddImportCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<ImportCommand>();
  CLI::App* command = app.add_subcommand(
      "import",
      "Cut a model file into shards and a signed manifest, and print the model's id. An import "
      "that was interrupted goes on; one that was done before ends at once");
  command->add_option("MODEL", options->path, "GGUF file")->required();
  AddDataDirOption(command, &options->data_dir);
  command
      ->add_option("--model-name", options->model_name,
                   "The name that clients use; empty: as the file says")
      ->check(CLI::Validator(CheckModelName, "NAME"));
  command->callback(
      [options, exit_code] { *exit_code = ReportStatus("import", RunImport(*options)); });
}

}  // namespace shoal
