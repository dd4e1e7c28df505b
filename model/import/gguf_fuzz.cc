// Any bytes, read as a GGUF file: whatever the reader accepts must then be readable to its last
// byte, and nothing may crash. Seeds: tests/data/fuzz/gguf, dictionary: tests/data/fuzz/gguf.dict.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"
#include "model/import/gguf_model.h"
#include "model/import/gguf_reader.h"
#include "model/import/tokenizer_file_testing.h"

namespace shoal {
namespace {

// Every key that a consumer asks for, by every getter: types are the file's to choose.
void AskForEverything(const GgufReader& file) {
  for (const char* key : {"general.alignment", "general.name", "qwen3moe.block_count",
                          "tokenizer.ggml.tokens", "tokenizer.ggml.token_type",
                          "tokenizer.ggml.scores", "tokenizer.ggml.merges", "a5", "a6", "t12"}) {
    const auto length = file.ArrayLength(key);
    SHOAL_CHECK(file.Has(key) || !length.ok());
    (void)file.GetUint(key);
    (void)file.GetFloat(key);
    (void)file.GetBool(key);
    (void)file.GetString(key);
    if (const auto values = file.GetStrings(key); values.ok()) {
      SHOAL_CHECK_EQ(values->size(), *length);
    }
    if (const auto values = file.GetInts(key); values.ok()) {
      SHOAL_CHECK_EQ(values->size(), *length);
    }
    if (const auto values = file.GetFloats(key); values.ok()) {
      SHOAL_CHECK_EQ(values->size(), *length);
    }
  }
}

void ReadEveryTensor(const GgufReader& file) {
  std::vector<std::byte> bytes;
  uint64_t total = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    SHOAL_CHECK(file.Find(tensor.name) == &tensor);
    SHOAL_CHECK_LE(tensor.file_offset + tensor.n_bytes, file.file_bytes());
    bytes.resize(tensor.n_bytes);
    SHOAL_CHECK(file.Read(tensor, 0, bytes).ok());
    total += tensor.n_bytes;
  }
  SHOAL_CHECK_LE(total, file.file_bytes());  // No byte belongs to two tensors.
}

// A file that is short by one byte of its last tensor is refused. Chance alone rarely cuts there.
void CheckCutIsRefused(const GgufReader& file, std::span<const std::byte> bytes) {
  uint64_t end = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    end = std::max(end, tensor.file_offset + tensor.n_bytes);
  }
  if (end == 0) return;
  SHOAL_CHECK(GgufReader::Parse("cut.gguf", bytes.first(end)).ok());
  SHOAL_CHECK(!GgufReader::Parse("cut.gguf", bytes.first(end - 1)).ok());
}

void CheckConsumers(const GgufReader& file) {
  if (const auto config = ReadModelConfig(file); config.ok()) {
    SHOAL_CHECK(ValidateConfig(*config).ok());
  }
  if (auto vocabulary = ReadVocabulary(file); vocabulary.ok()) {
    SHOAL_CHECK_LT(vocabulary->eos_id, static_cast<int64_t>(vocabulary->tokens.size()));
    CheckTokenizerFile(TokenizerShard{.vocabulary = *std::move(vocabulary), .chat_template = ""});
  }
  (void)ReadChatTemplate(file);
  SHOAL_CHECK(!ModelName(file).empty());
  SHOAL_CHECK_EQ(file.HeaderHash().size(), size_t{64});
}

}  // namespace
}  // namespace shoal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span<const uint8_t>(data, size));
  const auto file = shoal::GgufReader::Parse("fuzz.gguf", bytes);
  if (!file.ok()) {
    SHOAL_CHECK(!file.status().message().empty());
    return 0;
  }
  shoal::AskForEverything(**file);
  shoal::ReadEveryTensor(**file);
  shoal::CheckCutIsRefused(**file, bytes);
  shoal::CheckConsumers(**file);
  return 0;
}
