// Keys of the API, made where its routers' file of keys lies.
#include <sys/stat.h>

#include <cstdio>
#include <memory>
#include <span>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "base/file_system.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "cli/commands.h"
#include "cli/text_io.h"
#include "router/http/api_keys.h"

namespace shoal {
namespace {

struct KeyOptions {
  std::string name;
  std::string file;
};

absl::Status CreateKey(const KeyOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const ApiKeys::NewKey made, ApiKeys::Make(options.name, SystemRandom()));
  if (options.file == "-") {
    SHOAL_RETURN_IF_ERROR(WriteStandardOutput(made.line));
    std::fprintf(stderr, "%s\n", made.key.c_str());
    return absl::OkStatus();
  }
  umask(077);
  SHOAL_ASSIGN_OR_RETURN(const auto file, MachineFileSystem()->OpenToAppend(options.file));
  SHOAL_RETURN_IF_ERROR(
      file->Append(std::as_bytes(std::span<const char>(made.line.data(), made.line.size()))));
  SHOAL_RETURN_IF_ERROR(file->Sync());
  return WriteStandardOutput(absl::StrCat(made.key, "\n"));
}

}  // namespace

void AddKeyCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<KeyOptions>();
  CLI::App* group = app.add_subcommand("key", "Keys of the API");
  group->require_subcommand(1);
  CLI::App* create = group->add_subcommand(
      "create", "Print a new key, once, and add what routers need to know it by to their file");
  create->add_option("--name", options->name, "Whose it is: A-Z, a-z, 0-9, '.', '_', '-'")
      ->required();
  create
      ->add_option("--api-key-file", options->file,
                   "The routers' file, made where there is none; - prints its line on standard "
                   "output, and the key on standard error")
      ->required();
  create->callback(
      [options, exit_code] { *exit_code = ReportStatus("key create", CreateKey(*options)); });
}

}  // namespace shoal
