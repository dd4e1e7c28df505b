#include <memory>

#include "CLI/CLI.hpp"
#include "cli/commands.h"
#include "cli/router_process.h"
#include "cli/text_io.h"

namespace shoal {

void AddRouterCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<RouterProcessOptions>();
  CLI::App* command = app.add_subcommand(
      "router",
      "Join a cluster and serve the API by the workers that it has, until a signal comes");
  AddNodeOptions(*command, &options->node);
  AddServeOptions(command, &options->serve);
  command
      ->add_option("--spin-us", options->spin_us,
                   "Poll this long for workers' answers before sleeping")
      ->check(CLI::Range(0, 10000));
  command->callback([options, exit_code] {
    const absl::Status usage = CheckServeOptions(options->serve);
    *exit_code = usage.ok() ? ReportStatus("router", RunRouterProcess(*options))
                            : 2 * ReportStatus("router", usage);
  });
}

}  // namespace shoal
