#include "model/import/tokenizer_config.h"

#include "model/import/hf_json.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

using Json = nlohmann::json;

// A special token is its text, or an object with it; `otherwise` if it is neither.
int32_t IdOf(const Json& config, const TokenIds& ids, const char* name, int32_t otherwise) {
  const Json& value = Member(config, name);
  const std::string text = value.is_object() ? Text(value, "content") : Text(config, name);
  const auto found = ids.find(text);
  return found == ids.end() ? otherwise : found->second;
}

}  // namespace

void ReadTokenizerConfig(const Json& config, const TokenIds& ids, TokenizerShard* shard) {
  Vocabulary& vocabulary = shard->vocabulary;
  vocabulary.bos_id = IdOf(config, ids, "bos_token", vocabulary.bos_id);
  vocabulary.eos_id = IdOf(config, ids, "eos_token", vocabulary.eos_id);
  vocabulary.pad_id = IdOf(config, ids, "pad_token", vocabulary.pad_id);
  const Json& chat = Member(config, "chat_template");
  if (chat.is_string()) shard->chat_template = chat.get<std::string>();
  if (!chat.is_array()) return;
  for (const Json& each : chat) {
    if (Text(each, "name") == "default") shard->chat_template = Text(each, "template");
  }
}

TokenType TypeOfAdded(const Json& token) {
  const std::string text = Text(token, "content");
  const bool marker = (text.starts_with("<|") && text.ends_with("|>")) ||
                      (text.starts_with("<\uFF5C") && text.ends_with("\uFF5C>"));
  return marker || Flag(token, "special") ? TokenType::kControl : TokenType::kUserDefined;
}

uint8_t StripsOfAdded(const Json& token) {
  return static_cast<uint8_t>((Flag(token, "lstrip") ? kStripLeft : 0) |
                              (Flag(token, "rstrip") ? kStripRight : 0));
}

}  // namespace shoal
