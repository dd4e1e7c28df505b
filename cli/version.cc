#include <cstdio>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "cli/build_info.h"
#include "cli/commands.h"

namespace shoal {
namespace {

std::string VersionText() {
  return absl::StrFormat("shoal %s\ncommit %s\nbuild type %s\n", kVersion, kCommit, kBuildType);
}

std::string VersionJson() {
  return absl::StrFormat("{\"version\": \"%s\", \"commit\": \"%s\", \"build_type\": \"%s\"}\n",
                         kVersion, kCommit, kBuildType);
}

}  // namespace

void AddVersionCommand(CLI::App& app, int* exit_code) {
  CLI::App* command = app.add_subcommand("version", "Print version and build");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "Print JSON");
  command->callback([json, exit_code] {
    const std::string text = *json ? VersionJson() : VersionText();
    *exit_code = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
  });
}

}  // namespace shoal
