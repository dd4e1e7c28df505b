#include <cstdio>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "base/log.h"
#include "base/status_macros.h"
#include "cli/commands.h"
#include "cli/data_option.h"
#include "cli/named_model.h"
#include "cli/serve.h"
#include "cli/supervisor.h"
#include "cli/text_io.h"

namespace shoal {
namespace {

constexpr int kMaxLocalWorkers = 64;

void PrintWhatToTry(const std::string& url, const std::string& model) {
  PrintListening(url, model);
  std::printf(
      "try:\n"
      "  shoal chat --url %s\n"
      "  curl %s/v1/chat/completions -H 'content-type: application/json' \\\n"
      "    -d '{\"model\": \"%s\", \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'\n"
      "Ctrl-C stops everything\n",
      url.c_str(), url.c_str(), model.c_str());
  std::fflush(stdout);
}

absl::Status RunUp(const SupervisorOptions& options, const std::string& model) {
  SupervisorOptions up = options;
  SHOAL_ASSIGN_OR_RETURN(const auto data, FindNamedModel(model, up.data_dir, &up.serve.model));
  std::fprintf(stderr, "shoal up: loading %s\n", model.c_str());
  if (up.n_workers > 0) return Supervise(up, PrintWhatToTry);
  return Serve(up.serve, PrintWhatToTry);
}

}  // namespace

void AddUpCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<SupervisorOptions>();
  CLI::App* command = app.add_subcommand(
      "up", "Serve a model from this machine: a whole cluster of processes, until Ctrl-C");
  auto model = std::make_shared<std::string>();
  command->add_option("MODEL", *model, kModelHelp)->required();
  AddServeOptions(command, &options->serve);
  command
      ->add_option(
          "--workers", options->n_workers,
          "Worker processes that hold the experts; 0: everything in one process, nothing kept")
      ->check(CLI::Range(0, kMaxLocalWorkers));
  command
      ->add_option("--replicas", options->replicas,
                   "Workers that hold each expert; with 2 one may die and no answer notices")
      ->check(CLI::Range(1, kMaxLocalWorkers));
  AddDataDirOption(command, &options->data_dir);
  command->callback([options, model, exit_code] {
    InitLog("up");
    const absl::Status usage = CheckServeOptions(options->serve);
    *exit_code =
        usage.ok() ? ReportStatus("up", RunUp(*options, *model)) : 2 * ReportStatus("up", usage);
  });
}

}  // namespace shoal
