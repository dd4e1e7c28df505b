#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "model/import/model_file.h"
#include "model/model_config.h"
#include "model/tokenizer_shard.h"

namespace shoal {

// A foreign model, checked but for its tensors' values.
struct OpenedModel {
  std::unique_ptr<ModelFile> file;
  ModelConfig config;
  std::string name;  // What clients call it unless told otherwise.
  // Without tokens where the model has none; an error where it cannot be read.
  absl::StatusOr<TokenizerShard> tokenizer;
  std::string note;  // What its user should know of how it was read; may be empty.
};

// A GGUF file, or the folder of a Hugging Face model in safetensors.
absl::StatusOr<OpenedModel> OpenModel(const std::string& path);

// Only its tokenizer and template, whatever the model is: of a GGUF file without tensors, or of a
// folder that has no weights and perhaps no config.json. Without tokens where there are none.
absl::StatusOr<TokenizerShard> OpenTokenizer(const std::string& path);

}  // namespace shoal
