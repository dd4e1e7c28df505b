#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "cli/commands.h"
#include "cli/text_io.h"
#include "cli/text_options.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

constexpr size_t kMaxInputBytes = size_t{256} << 20;

absl::StatusOr<std::vector<int32_t>> ParseIds(const std::string& text, int vocab_size) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_array()) {
    return absl::InvalidArgumentError(
        "is not a JSON array of token ids; write for example [1, 2, 3]");
  }
  std::vector<int32_t> ids;
  for (size_t i = 0; i < json.size(); ++i) {
    const bool fits = json[i].is_number_integer() && json[i] >= 0 && json[i] < vocab_size;
    if (!fits) {
      return absl::InvalidArgumentError(
          absl::StrCat("element ", i, " is ", Quoted(json[i].dump()),
                       ", not an integer in [0, vocab_size=", vocab_size, ")"));
    }
    ids.push_back(json[i].get<int32_t>());
  }
  return ids;
}

struct DetokenizeOptions {
  std::string model_path;
  std::string pre;
  bool lines = false;
};

absl::Status RunDetokenize(const DetokenizeOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const auto tokenizer,
                         OpenModelsTokenizer(options.model_path, options.pre));
  const auto text_of = [&](const std::string& ids_json) -> absl::StatusOr<std::string> {
    SHOAL_ASSIGN_OR_RETURN(const auto ids, ParseIds(ids_json, tokenizer->vocab_size()));
    return tokenizer->Decode(ids);
  };
  const auto json_of = [&](const std::string& ids_json) -> absl::StatusOr<std::string> {
    SHOAL_ASSIGN_OR_RETURN(std::string text, text_of(ids_json));
    return nlohmann::json(std::move(text)).dump();
  };
  if (options.lines) {
    SHOAL_ASSIGN_OR_RETURN(const std::string all, ConvertLines(kMaxInputBytes, json_of));
    return WriteStandardOutput(all);
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string input, ReadStandardInput(kMaxInputBytes));
  const auto text = text_of(input);
  if (text.ok()) return WriteStandardOutput(*text);
  return absl::Status(text.status().code(),
                      absl::StrCat("standard input: ", std::string(text.status().message())));
}

}  // namespace

void AddDetokenizeCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<DetokenizeOptions>();
  CLI::App* command = app.add_subcommand(
      "detokenize", "Turn a JSON array of token ids on standard input into text");
  command->add_option("MODEL", options->model_path, kTokenizerModel)->required();
  AddPreOption(command, &options->pre);
  command->add_flag("--lines", options->lines,
                    "Every line of standard input is an array, and gets its text as a JSON string");
  command->callback(
      [options, exit_code] { *exit_code = ReportStatus("detokenize", RunDetokenize(*options)); });
}

}  // namespace shoal
