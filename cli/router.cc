#include <cstdio>
#include <memory>

#include "CLI/CLI.hpp"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/serve.h"

namespace shoal {

void AddRouterCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command =
      app.add_subcommand("router", "Serve the API, with the experts on workers that run already");
  AddServeOptions(command, options.get());
  command
      ->add_option("--workers-at", options->model.workers,
                   "Addresses of the workers, separated by commas; together they hold every expert")
      ->required()
      ->delimiter(',');
  command->callback([options, exit_code] {
    InitLog("router");
    const absl::Status status = Serve(*options, PrintListening);
    if (status.ok()) return;
    std::fprintf(stderr, "shoal router: %s\n", std::string(status.message()).c_str());
    *exit_code = 1;
  });
}

}  // namespace shoal
