// One binary, one subcommand per role and tool. Each subcommand has its own file beside this one;
// here are only the ways that options get their values: flags, SHOAL_* variables, a file.
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "CLI/CLI.hpp"
#include "cli/build_info.h"
#include "cli/commands.h"

namespace shoal {
namespace {

constexpr int kBadUsage = 2;

constexpr char kFooter[] =
    "Options come from flags, then from SHOAL_* variables (--kv-type is SHOAL_KV_TYPE), then from\n"
    "the file that --config names, which is TOML with one section per command:\n"
    "  [up]\n"
    "  workers = 3\n"
    "SHOAL_ISA chooses the instruction set: scalar, avx2, ...\n"
    "Exit status: 0 success, 2 bad usage, 1 anything else.";

std::string EnvName(std::string_view option) {
  std::string name = "SHOAL_";
  for (const unsigned char c : option) name += c == '-' ? '_' : static_cast<char>(std::toupper(c));
  return name;
}

// Reads TOML, and passes over what the environment sets: CLI11 would let the file win.
class ConfigBelowEnvironment : public CLI::ConfigTOML {
 public:
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    std::vector<CLI::ConfigItem> items = CLI::ConfigTOML::from_config(input);
    std::erase_if(items, [](const CLI::ConfigItem& item) {
      const char* value = std::getenv(EnvName(item.name).c_str());
      return value != nullptr && *value != '\0';
    });
    return items;
  }
};

// Gives every option of `command` its SHOAL_* variable; --config may stand behind the command too.
void BindSources(CLI::App* command) {
  command->fallthrough();
  for (CLI::Option* option : command->get_options()) {
    const std::vector<std::string>& names = option->get_lnames();
    if (option == command->get_help_ptr() || names.empty()) continue;
    option->envname(EnvName(names.front()));
  }
  for (CLI::App* part : command->get_subcommands({})) BindSources(part);
}

void AddCommands(CLI::App& app, int* exit_code) {
  AddBenchCommand(app, exit_code);
  AddChatCommand(app, exit_code);
  AddCoordinatorCommand(app, exit_code);
  AddDetokenizeCommand(app, exit_code);
  AddEvalCommand(app, exit_code);
  AddHeatCommand(app, exit_code);
  AddImportCommand(app, exit_code);
  AddKeyCommand(app, exit_code);
  AddLogitsCommand(app, exit_code);
  AddModelCommand(app, exit_code);
  AddModelsCommand(app, exit_code);
  AddNodeCommand(app, exit_code);
  AddPlanCommand(app, exit_code);
  AddRouterCommand(app, exit_code);
  AddShardsCommand(app, exit_code);
  AddStatusCommand(app, exit_code);
  AddTemplateCommand(app, exit_code);
  AddTokenCommand(app, exit_code);
  AddTokenizeCommand(app, exit_code);
  AddUpCommand(app, exit_code);
  AddVersionCommand(app, exit_code);
  AddWorkerCommand(app, exit_code);
}

int Main(int argc, char** argv) {
  CLI::App app("Shoal serves a mixture-of-experts language model from several small machines.",
               "shoal");
  int exit_code = 0;
  app.option_defaults()->always_capture_default();
  app.set_version_flag("--version", kVersion, "Print the version and exit");
  app.set_config("--config", "", "Read options from this TOML file");
  app.config_formatter(std::make_shared<ConfigBelowEnvironment>());
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.require_subcommand(0, 1);  // None at all is noticed below: CLI11 would not name a wrong one.
  app.footer(kFooter);
  AddCommands(app, &exit_code);
  for (CLI::App* command : app.get_subcommands({})) BindSources(command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ConfigError& error) {
    std::fprintf(stderr,
                 "shoal: --config: %s; `shoal COMMAND --help` lists what [COMMAND] may hold\n",
                 error.what());
    return kBadUsage;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kBadUsage;
  }
  if (app.get_subcommands().empty()) {
    std::fprintf(stderr, "shoal: name a command\n\n%s", app.help().c_str());
    return kBadUsage;
  }
  return exit_code;
}

}  // namespace
}  // namespace shoal

int main(int argc, char** argv) {
  try {
    return shoal::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "shoal: %s\n", error.what());
    return 1;
  }
}
