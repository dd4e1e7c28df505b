#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/build_info.h"
#include "cli/commands.h"
#include "kernels/kernel_table.h"

namespace shoal {
namespace {

// Names of the instruction sets this machine can run, slowest first, each inside `quote`s.
std::string FoundIsas(std::string_view quote) {
  std::vector<std::string> names;
  for (const KernelTable* kernels : AvailableKernels()) {
    names.push_back(absl::StrFormat("%s%s%s", quote, IsaName(kernels->isa), quote));
  }
  return absl::StrJoin(names, ", ");
}

std::string VersionText() {
  return absl::StrFormat("shoal %s\ncommit %s\nbuild type %s\ninstruction sets %s; selected %s\n",
                         kVersion, kCommit, kBuildType, FoundIsas(""),
                         IsaName(SelectedKernels().isa));
}

std::string VersionJson() {
  return absl::StrFormat(
      "{\"version\": \"%s\", \"commit\": \"%s\", \"build_type\": \"%s\", "
      "\"isa\": {\"found\": [%s], \"selected\": \"%s\"}}\n",
      kVersion, kCommit, kBuildType, FoundIsas("\""), IsaName(SelectedKernels().isa));
}

}  // namespace

void AddVersionCommand(CLI::App& app, int* exit_code) {
  CLI::App* command = app.add_subcommand("version", "Print version, build and instruction sets");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "Print JSON");
  command->callback([json, exit_code] {
    const std::string text = *json ? VersionJson() : VersionText();
    *exit_code = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
  });
}

}  // namespace shoal
