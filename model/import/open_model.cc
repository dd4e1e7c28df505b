#include "model/import/open_model.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file_system.h"
#include "base/status_macros.h"
#include "model/import/byte_source.h"
#include "model/import/checkpoint.h"
#include "model/import/checkpoint_config.h"
#include "model/import/checkpoint_view.h"
#include "model/import/gguf_model.h"
#include "model/import/gguf_reader.h"
#include "model/import/json_values.h"

namespace shoal {
namespace {

// A model without a tokenizer can be measured, not talked to.
absl::StatusOr<TokenizerShard> ReadTokenizer(const GgufReader& file) {
  TokenizerShard tokenizer;
  if (file.Has("tokenizer.ggml.model")) {
    SHOAL_ASSIGN_OR_RETURN(tokenizer.vocabulary, ReadVocabulary(file));
  }
  SHOAL_ASSIGN_OR_RETURN(tokenizer.chat_template, ReadChatTemplate(file));
  return tokenizer;
}

absl::StatusOr<OpenedModel> OpenGguf(const std::string& path) {
  SHOAL_ASSIGN_OR_RETURN(auto file, GgufReader::Open(path));
  SHOAL_ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(*file));
  std::string name = ModelName(*file);
  auto tokenizer = ReadTokenizer(*file);
  return OpenedModel{std::move(file), std::move(config), std::move(name), std::move(tokenizer)};
}

absl::StatusOr<TokenizerShard> ReadTokenizer(const std::string& folder) {
  for (const char* name : {"tokenizer.json", "tokenizer.model"}) {
    const std::string path = JoinPath(folder, name);
    std::error_code error;
    if (!std::filesystem::exists(path, error)) continue;
    return absl::UnimplementedError(
        absl::StrCat(path, ": this kind of tokenizer is not read; convert the model to GGUF"));
  }
  return TokenizerShard{};
}

// The folder's own name. A downloader's cache keeps models--OWNER--NAME/snapshots/COMMIT.
std::string NameOfFolder(const std::string& folder) {
  constexpr std::string_view kCached = "models--";
  std::filesystem::path path = std::filesystem::path(folder).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  const std::string above = path.parent_path().parent_path().filename().string();
  const bool cached = path.parent_path().filename() == "snapshots" && above.starts_with(kCached);
  if (!cached) return ModelSlug(path.filename().string());
  const size_t owner = above.find("--", kCached.size());
  return ModelSlug(owner == std::string::npos ? above : above.substr(owner + 2));
}

absl::StatusOr<OpenedModel> OpenCheckpoint(const std::string& folder) {
  const std::string config_path = JoinPath(folder, "config.json");
  SHOAL_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(config_path, kMaxConfigBytes));
  SHOAL_ASSIGN_OR_RETURN(const JsonValues values,
                         JsonValues::Parse(config_path, text, kMaxConfigValues));
  SHOAL_ASSIGN_OR_RETURN(ModelConfig config, ReadCheckpointConfig(values));
  SHOAL_ASSIGN_OR_RETURN(auto checkpoint, Checkpoint::Open(folder));
  SHOAL_ASSIGN_OR_RETURN(auto file, CheckpointView::Create(std::move(checkpoint), &config, text));
  return OpenedModel{std::move(file), std::move(config), NameOfFolder(folder),
                     ReadTokenizer(folder)};
}

}  // namespace

absl::StatusOr<OpenedModel> OpenModel(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error) ? OpenCheckpoint(path) : OpenGguf(path);
}

}  // namespace shoal
