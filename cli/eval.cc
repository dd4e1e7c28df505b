#include <algorithm>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "base/limits.h"
#include "base/status_macros.h"
#include "cli/commands.h"
#include "cli/offline_model.h"
#include "cli/quality.h"
#include "cli/text_io.h"

namespace shoal {
namespace {

struct EvalOptions {
  OfflineModelOptions model;
  QualityOptions quality;
  std::string text;
  int64_t tokens = 0;
  bool json = false;
};

absl::Status RunEval(const EvalOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const OfflineModel offline, LoadOfflineModel(options.model));
  SHOAL_ASSIGN_OR_RETURN(const std::string text, ReadText(options.text));
  SHOAL_ASSIGN_OR_RETURN(auto ids, EncodeText(*offline.tokenizer, text));
  if (options.tokens > 0) ids.resize(std::min<size_t>(ids.size(), options.tokens));
  QualityOptions quality = options.quality;
  quality.cut.ctx_size = static_cast<int>(options.model.ctx_size);
  SHOAL_ASSIGN_OR_RETURN(const QualitySummary summary, MeasureQuality(offline, ids, quality));
  return WriteStandardOutput(options.json ? QualityJson(summary) : QualityText(summary));
}

}  // namespace

void AddEvalCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command = app.add_subcommand(
      "eval",
      "How well a model foretells a text: perplexity, and with --reference how near it comes to "
      "another model or to itself before it was made smaller. The text is cut as llama.cpp's "
      "perplexity tool does, or with --stride as Hugging Face's guide does");
  AddOfflineModelOptions(command, &options->model);
  command->add_option("--text", options->text, "UTF-8 file to read")->required();
  command
      ->add_option("--stride", options->quality.cut.stride,
                   "0: windows side by side, the second half of each scored; otherwise windows "
                   "begin that many tokens apart, and each scores what none before it has")
      ->check(CLI::Range(int64_t{0}, kMaxContext));
  command->add_option("--tokens", options->tokens, "Read that many tokens only; 0: all")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40));
  command->add_option("--save", options->quality.save,
                      "Write what this model foretells to a file, as a reference for others");
  command
      ->add_option("--top", options->quality.top,
                   "Likeliest ids that --save keeps of each token, 8 bytes each; the others count "
                   "as one. As many as the vocabulary has: exact")
      ->check(CLI::Range(1, kMaxVocab));
  command->add_option("--reference", options->quality.reference,
                      "What --save wrote of the same text: print mean KL(reference || MODEL), nats "
                      "a token, and how often the likeliest id is the same");
  command->add_flag("--json", options->json, "Print one line of JSON");
  command->callback([options, exit_code] { *exit_code = ReportStatus("eval", RunEval(*options)); });
}

}  // namespace shoal
