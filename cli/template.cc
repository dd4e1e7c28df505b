#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "cli/commands.h"
#include "cli/text_io.h"
#include "cli/text_options.h"
#include "model/chat_template.h"
#include "model/import/open_model.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

struct TemplateOptions {
  std::string model_path;
  std::string file;
  std::string now;
};

// The template's text, and bos_token and eos_token where the model names them.
absl::StatusOr<std::string> LoadSource(const TemplateOptions& options,
                                       nlohmann::ordered_json* variables) {
  std::string source;
  if (!options.file.empty()) {
    SHOAL_ASSIGN_OR_RETURN(source, ReadTemplateFile(options.file));
  }
  if (options.model_path.empty()) return source;
  SHOAL_ASSIGN_OR_RETURN(const TokenizerShard model, OpenTokenizer(options.model_path));
  if (options.file.empty() && model.chat_template.empty()) {
    return absl::NotFoundError(
        absl::StrCat(options.model_path, ": has no chat template; --chat-template FILE sets one"));
  }
  const Vocabulary& vocabulary = model.vocabulary;
  const std::pair<const char*, int32_t> tokens[] = {{"bos_token", vocabulary.bos_id},
                                                    {"eos_token", vocabulary.eos_id}};
  for (const auto& [name, id] : tokens) {
    if (id >= 0 && !variables->contains(name)) (*variables)[name] = vocabulary.tokens[id];
  }
  return options.file.empty() ? model.chat_template : source;
}

absl::StatusOr<absl::Time> ParseNow(const std::string& text) {
  if (text.empty()) return absl::Now();
  absl::Time now;
  std::string error;
  if (absl::ParseTime("%Y-%m-%dT%H:%M:%S", text, absl::LocalTimeZone(), &now, &error)) return now;
  return absl::InvalidArgumentError(
      absl::StrCat("--now: ", error, "; write for example 2026-03-04T15:06:07"));
}

absl::Status RunTemplate(const TemplateOptions& options, absl::Time now) {
  SHOAL_ASSIGN_OR_RETURN(const std::string input, ReadStandardInput(kMaxBodyBytes));
  auto variables = nlohmann::ordered_json::parse(input, nullptr, /*allow_exceptions=*/false);
  if (!variables.is_object()) {
    return absl::InvalidArgumentError(
        "standard input is not a JSON object; write for example {\"messages\": []}");
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string source, LoadSource(options, &variables));
  SHOAL_ASSIGN_OR_RETURN(const auto parsed, ChatTemplate::Parse(source));
  SHOAL_ASSIGN_OR_RETURN(const auto pieces, parsed->Render(variables, now));
  std::string prompt;
  for (const PromptPiece& piece : pieces) prompt += piece.text;
  return WriteStandardOutput(prompt);
}

}  // namespace

void AddTemplateCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<TemplateOptions>();
  CLI::App* command = app.add_subcommand(
      "template", "Render {\"messages\", ...} on standard input with a model's chat template");
  command->add_option("MODEL", options->model_path, kTokenizerModel);
  command->add_option("--chat-template,--file", options->file,
                      "File with a chat template to use instead of the model's");
  command->add_option("--now", options->now, "The local time that strftime_now sees");
  command->callback([options, exit_code] {
    const auto now = ParseNow(options->now);
    const bool no_source = options->model_path.empty() && options->file.empty();
    if (no_source) {
      std::fputs("shoal template: name a MODEL, or a template with --chat-template FILE\n", stderr);
    }
    if (no_source || !now.ok()) {
      ReportStatus("template", now.status());
      *exit_code = 2;
      return;
    }
    *exit_code = ReportStatus("template", RunTemplate(*options, *now));
  });
}

}  // namespace shoal
