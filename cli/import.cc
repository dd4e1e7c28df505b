#include <algorithm>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/commands.h"
#include "cli/data_option.h"
#include "cli/import_with_progress.h"
#include "cli/text_io.h"

namespace shoal {
namespace {

struct ImportCommand {
  std::string path;
  std::string data_dir;
  std::string model_name;
};

absl::Status RunImport(const ImportCommand& command) {
  SHOAL_ASSIGN_OR_RETURN(const auto data,
                         OpenDataDir(command.data_dir, DataDirectory::Access::kShared));
  SHOAL_ASSIGN_OR_RETURN(
      const ImportResult result,
      ImportWithProgress("import", data.get(), command.path, command.model_name));
  return WriteStandardOutput(absl::StrCat(ToHex(result.model_id), "\n"));
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
  command->add_option("MODEL", options->path, "GGUF file, or folder of safetensors")->required();
  AddDataDirOption(command, &options->data_dir);
  command
      ->add_option("--model-name", options->model_name,
                   "The name that clients use; empty: as the file says")
      ->check(CLI::Validator(CheckModelName, "NAME"));
  command->callback(
      [options, exit_code] { *exit_code = ReportStatus("import", RunImport(*options)); });
}

}  // namespace shoal
