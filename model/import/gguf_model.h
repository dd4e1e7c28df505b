#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "model/import/gguf_reader.h"
#include "model/model_config.h"
#include "model/vocabulary.h"

namespace shoal {

// Reads the forward pass's numbers, with the family's implied options filled in, and checks that
// every tensor the architecture needs is there with the right shape and a supported type.
absl::StatusOr<ModelConfig> ReadModelConfig(const GgufReader& file);

// Reads tokenizer.ggml.*; works on a file without tensors. Counts and ids are checked.
absl::StatusOr<Vocabulary> ReadVocabulary(const GgufReader& file);

// tokenizer.chat_template, or empty when the file has none.
absl::StatusOr<std::string> ReadChatTemplate(const GgufReader& file);

// A name fit for clients: lower-case letters, digits, '.' and '_' stay, any run of others becomes
// one '-'; at most 64 bytes. "model" when nothing is left.
std::string ModelSlug(std::string_view text);

// The name clients use: general.name as a slug, else the file's stem.
std::string ModelName(const GgufReader& file);

}  // namespace shoal
