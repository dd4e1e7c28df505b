#include "cli/text_options.h"

#include <cstdint>
#include <fstream>
#include <string_view>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/import/open_model.h"
#include "model/jinja/budget.h"
#include "model/pre_tokenizer.h"

namespace shoal {

void AddPreOption(CLI::App* command, std::string* pre) {
  const std::vector<std::string_view> names = PreTokenizer::KnownNames();
  command->add_option("--pre", *pre, "Pre-tokenizer to use instead of the one that the model names")
      ->check(CLI::IsMember(std::vector<std::string>(names.begin(), names.end())));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> CreateTokenizer(Vocabulary vocabulary,
                                                           const std::string& pre) {
  if (!pre.empty()) {
    const absl::Status selected = PreTokenizer::Select(pre, &vocabulary);
    if (!selected.ok()) {
      return absl::Status(selected.code(),
                          absl::StrCat("--pre: ", std::string(selected.message())));
    }
  }
  auto tokenizer = Tokenizer::Create(std::move(vocabulary));
  if (tokenizer.ok() || !absl::IsUnimplemented(tokenizer.status())) return tokenizer;
  return absl::UnimplementedError(absl::StrCat(std::string(tokenizer.status().message()),
                                               "; --pre NAME sets the pre-tokenizer"));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> OpenModelsTokenizer(const std::string& model_path,
                                                               const std::string& pre) {
  SHOAL_ASSIGN_OR_RETURN(TokenizerShard model, OpenTokenizer(model_path));
  if (model.vocabulary.tokens.empty()) {
    return absl::NotFoundError(
        absl::StrCat(model_path,
                     ": has no tokenizer; give a GGUF file with one, or a folder with "
                     "tokenizer.json or tokenizer.model"));
  }
  auto tokenizer = CreateTokenizer(std::move(model.vocabulary), pre);
  if (tokenizer.ok()) return tokenizer;
  return absl::Status(tokenizer.status().code(),
                      absl::StrCat(model_path, ": ", std::string(tokenizer.status().message())));
}

absl::StatusOr<std::string> ReadTemplateFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const int64_t n_bytes = file.tellg();
  if (!file) return absl::NotFoundError(absl::StrCat("--chat-template: cannot read ", path));
  if (n_bytes > static_cast<int64_t>(jinja::kMaxTemplateBytes)) {
    return absl::InvalidArgumentError(absl::StrCat("--chat-template: ", path, " has ", n_bytes,
                                                   " bytes, at most ", jinja::kMaxTemplateBytes,
                                                   " are read"));
  }
  std::string text(static_cast<size_t>(n_bytes), '\0');
  file.seekg(0);
  if (!file.read(text.data(), n_bytes)) {
    return absl::DataLossError(absl::StrCat("--chat-template: cannot read ", path));
  }
  return text;
}

}  // namespace shoal
