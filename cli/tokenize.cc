#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "cli/commands.h"
#include "cli/text_io.h"
#include "cli/text_options.h"

namespace shoal {
namespace {

constexpr size_t kMaxInputBytes = size_t{256} << 20;

struct TokenizeOptions {
  std::string model_path;
  std::string pre;
  bool no_special = false;
};

absl::Status RunTokenize(const TokenizeOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const auto tokenizer,
                         OpenModelsTokenizer(options.model_path, options.pre));
  SHOAL_ASSIGN_OR_RETURN(const std::string text, ReadStandardInput(kMaxInputBytes));
  SHOAL_ASSIGN_OR_RETURN(const auto ids, tokenizer->Encode(text, !options.no_special));
  return WriteStandardOutput(absl::StrCat("[", absl::StrJoin(ids, ", "), "]\n"));
}

}  // namespace

void AddTokenizeCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* command = app.add_subcommand(
      "tokenize",
      "Turn text on standard input into a JSON array of token ids, no BOS or EOS added");
  command->add_option("MODEL", options->model_path, kTokenizerModel)->required();
  AddPreOption(command, &options->pre);
  command->add_flag("--no-special", options->no_special,
                    "Take text that spells a control token as text");
  command->callback(
      [options, exit_code] { *exit_code = ReportStatus("tokenize", RunTokenize(*options)); });
}

}  // namespace shoal
