#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "model/tokenizer.h"
#include "model/vocabulary.h"

namespace CLI {
class App;
}

namespace shoal {

// Adds --pre; `pre` stays empty where it is not given, and outlives the parse.
void AddPreOption(CLI::App* command, std::string* pre);

// The tokenizer of `vocabulary`, with the pre-tokenizer `pre` if that is not empty.
absl::StatusOr<std::unique_ptr<Tokenizer>> CreateTokenizer(Vocabulary vocabulary,
                                                           const std::string& pre);

// Likewise of a GGUF file or a Hugging Face folder, which need no tensors for this.
absl::StatusOr<std::unique_ptr<Tokenizer>> OpenModelsTokenizer(const std::string& model_path,
                                                               const std::string& pre);

// What MODEL is to the commands that need no more than its tokenizer.
inline constexpr char kTokenizerModel[] = "GGUF file or Hugging Face folder; needs no tensors";

// The text of the file that --chat-template names.
absl::StatusOr<std::string> ReadTemplateFile(const std::string& path);

}  // namespace shoal
