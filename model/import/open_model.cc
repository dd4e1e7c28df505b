#include "model/import/open_model.h"

#include <algorithm>
#include <climits>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file_system.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/import/byte_source.h"
#include "model/import/checkpoint.h"
#include "model/import/checkpoint_config.h"
#include "model/import/checkpoint_view.h"
#include "model/import/fused_tensors.h"
#include "model/import/gguf_model.h"
#include "model/import/gguf_reader.h"
#include "model/import/hf_tokenizer.h"
#include "model/import/json_values.h"
#include "model/import/sentencepiece_model.h"
#include "model/jinja/budget.h"
#include "model/tokenizer.h"

namespace shoal {
namespace {

constexpr size_t kMaxTokenizerBytes = size_t{64} << 20;

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
  auto whole = SplitFusedTensors(std::move(file), *FindFamily(config.architecture), config);
  return OpenedModel{std::move(whole), std::move(config), std::move(name), std::move(tokenizer),
                     ""};
}

// A file of the folder; nothing if there is none of that name.
absl::StatusOr<std::optional<std::string>> ReadPart(const std::string& folder, const char* name,
                                                    size_t max_bytes) {
  const std::string path = JoinPath(folder, name);
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::nullopt;
  SHOAL_ASSIGN_OR_RETURN(std::string text, ReadTextFile(path, max_bytes));
  return text;
}

// The ids in `file` that end an answer: one, or a list.
absl::StatusOr<std::vector<int32_t>> EndIds(const JsonValues& file, size_t n_tokens) {
  std::string all = "eos_token_id";
  if (!file.Has(all)) all = "text_config.eos_token_id";
  std::vector<int32_t> ids;
  if (!file.Has(all)) return ids;
  const bool one = file.GetUint(all).ok();
  do {
    const std::string key = one ? all : absl::StrCat(all, ".", ids.size());
    SHOAL_ASSIGN_OR_RETURN(const uint64_t id, file.GetUint(key));
    if (id >= n_tokens) {
      return absl::InvalidArgumentError(absl::StrCat(file.name(), ": key ", Quoted(key), " is ", id,
                                                     ", not below the ", n_tokens,
                                                     " tokens; fetch the model again"));
    }
    ids.push_back(static_cast<int32_t>(id));
  } while (!one && file.Has(absl::StrCat(all, ".", ids.size())));
  return ids;
}

// What generates also stops at ids that no tokenizer's file names. There is room for two; those
// that are known by their text need none.
absl::Status ReadEndIds(const std::string& folder, const JsonValues& config,
                        Vocabulary* vocabulary) {
  constexpr char kGeneration[] = "generation_config.json";
  const size_t n_tokens = vocabulary->tokens.size();
  std::vector<int32_t> ids;
  SHOAL_ASSIGN_OR_RETURN(const auto text, ReadPart(folder, kGeneration, kMaxConfigBytes));
  if (text) {
    SHOAL_ASSIGN_OR_RETURN(
        const JsonValues generation,
        JsonValues::Parse(JoinPath(folder, kGeneration), *text, kMaxConfigValues));
    SHOAL_ASSIGN_OR_RETURN(ids, EndIds(generation, n_tokens));
  }
  if (ids.empty()) {
    SHOAL_ASSIGN_OR_RETURN(ids, EndIds(config, n_tokens));
  }
  if (vocabulary->eos_id < 0 && !ids.empty()) vocabulary->eos_id = ids.front();
  for (const int32_t id : ids) {
    const auto at = static_cast<size_t>(id);
    const bool known =
        vocabulary->types[at] == TokenType::kControl && IsEndText(vocabulary->tokens[at]);
    if (known || id == vocabulary->eos_id || id == vocabulary->eot_id) continue;
    if (vocabulary->eot_id >= 0) {
      return absl::UnimplementedError(absl::StrCat(
          folder, ": eos_token_id has ", vocabulary->eot_id, " and ", id, " beside the eos token ",
          vocabulary->eos_id, "; only one more is read: take one out of ", kGeneration));
    }
    vocabulary->eot_id = id;
  }
  return absl::OkStatus();
}

// tokenizer.json, or else tokenizer.model; no tokens if there is neither.
absl::StatusOr<TokenizerShard> ReadTokenizerFiles(const std::string& folder, int n_tokens) {
  const auto read = [&folder](const char* name) {
    return ReadPart(folder, name, kMaxTokenizerBytes);
  };
  SHOAL_ASSIGN_OR_RETURN(const auto config, read("tokenizer_config.json"));
  SHOAL_ASSIGN_OR_RETURN(const auto json, read("tokenizer.json"));
  if (json) return ReadHfTokenizer(*json, config.value_or(""), n_tokens);
  SHOAL_ASSIGN_OR_RETURN(const auto model, read("tokenizer.model"));
  if (!model) return TokenizerShard{};
  SHOAL_ASSIGN_OR_RETURN(const auto added, read("added_tokens.json"));
  return ReadSentencePieceModel(*model, config.value_or(""), added.value_or(""), n_tokens);
}

absl::StatusOr<TokenizerShard> ReadTokenizer(const std::string& folder, const JsonValues& config,
                                             int n_tokens) {
  auto tokenizer = ReadTokenizerFiles(folder, n_tokens);
  if (!tokenizer.ok()) {
    const bool unknown = absl::IsUnimplemented(tokenizer.status());
    return absl::Status(tokenizer.status().code(),
                        absl::StrCat(folder, "/", tokenizer.status().message(),
                                     unknown ? "; convert the model to GGUF" : ""));
  }
  if (tokenizer->vocabulary.tokens.empty()) return tokenizer;
  // Counts before tokenizer_config.json's, as where the model comes from.
  SHOAL_ASSIGN_OR_RETURN(auto chat,
                         ReadPart(folder, "chat_template.jinja", jinja::kMaxTemplateBytes));
  if (chat) tokenizer->chat_template = *std::move(chat);
  SHOAL_RETURN_IF_ERROR(ReadEndIds(folder, config, &tokenizer->vocabulary));
  return tokenizer;
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

// Of a folder whose model may be any.
absl::StatusOr<TokenizerShard> OpenFolderTokenizer(const std::string& folder) {
  constexpr char kVocabSize[] = "vocab_size";
  SHOAL_ASSIGN_OR_RETURN(const auto text, ReadPart(folder, "config.json", kMaxConfigBytes));
  SHOAL_ASSIGN_OR_RETURN(
      const JsonValues config,
      JsonValues::Parse(JoinPath(folder, "config.json"), text.value_or("{}"), kMaxConfigValues));
  uint64_t n_tokens = 0;
  if (config.Has(kVocabSize)) {
    SHOAL_ASSIGN_OR_RETURN(n_tokens, config.GetUint(kVocabSize));
  }
  return ReadTokenizer(folder, config, static_cast<int>(std::min<uint64_t>(n_tokens, INT_MAX)));
}

absl::StatusOr<OpenedModel> OpenCheckpoint(const std::string& folder) {
  const std::string config_path = JoinPath(folder, "config.json");
  SHOAL_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(config_path, kMaxConfigBytes));
  SHOAL_ASSIGN_OR_RETURN(const JsonValues values,
                         JsonValues::Parse(config_path, text, kMaxConfigValues));
  SHOAL_ASSIGN_OR_RETURN(CheckpointConfig read, ReadCheckpointConfig(values));
  SHOAL_ASSIGN_OR_RETURN(auto checkpoint, Checkpoint::Open(folder));
  SHOAL_ASSIGN_OR_RETURN(auto file, CheckpointView::Create(std::move(checkpoint), read, text));
  std::string note;
  if (file->n_of_other_parts() > 0) {
    note = absl::StrCat(file->n_of_other_parts(),
                        " tensors of parts that do not read text are left out");
  }
  auto tokenizer = ReadTokenizer(folder, values, read.config.vocab_size);
  return OpenedModel{std::move(file), std::move(read.config), NameOfFolder(folder),
                     std::move(tokenizer), std::move(note)};
}

bool IsFolder(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

}  // namespace

absl::StatusOr<OpenedModel> OpenModel(const std::string& path) {
  return IsFolder(path) ? OpenCheckpoint(path) : OpenGguf(path);
}

absl::StatusOr<TokenizerShard> OpenTokenizer(const std::string& path) {
  if (IsFolder(path)) return OpenFolderTokenizer(path);
  SHOAL_ASSIGN_OR_RETURN(const auto file, GgufReader::Open(path));
  return ReadTokenizer(*file);
}

}  // namespace shoal
