#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "cli/commands.h"
#include "cli/text_io.h"
#include "cli/text_options.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

constexpr size_t kMaxInputBytes = size_t{256} << 20;

struct TokenizeOptions {
  std::string model_path;
  std::string pre;
  bool no_special = false;
  bool lines = false;
};

absl::Status RunTokenize(const TokenizeOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const auto tokenizer,
                         OpenModelsTokenizer(options.model_path, options.pre));
  const auto ids_of = [&](const std::string& text) -> absl::StatusOr<std::string> {
    SHOAL_ASSIGN_OR_RETURN(const auto ids, tokenizer->Encode(text, !options.no_special));
    return absl::StrCat("[", absl::StrJoin(ids, ", "), "]");
  };
  const auto ids_of_line = [&](const std::string& line) -> absl::StatusOr<std::string> {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_string()) return ids_of(json.get<std::string>());
    return absl::InvalidArgumentError("is not a JSON string; write for example \"A fox\"");
  };
  if (options.lines) {
    SHOAL_ASSIGN_OR_RETURN(const std::string all, ConvertLines(kMaxInputBytes, ids_of_line));
    return WriteStandardOutput(all);
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string text, ReadStandardInput(kMaxInputBytes));
  SHOAL_ASSIGN_OR_RETURN(const std::string ids, ids_of(text));
  return WriteStandardOutput(ids + "\n");
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
  command->add_flag("--lines", options->lines,
                    "Every line of standard input is a text as a JSON string, and gets its array");
  command->callback(
      [options, exit_code] { *exit_code = ReportStatus("tokenize", RunTokenize(*options)); });
}

}  // namespace shoal
