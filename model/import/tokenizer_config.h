#pragma once

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "model/tokenizer_shard.h"
#include "nlohmann/json_fwd.hpp"

namespace shoal {

using TokenIds = absl::flat_hash_map<std::string, int32_t>;  // By text.

// What a tokenizer_config.json says beside the tokenizer: the ids of bos, eos and pad, by their
// texts, and the chat template.
void ReadTokenizerConfig(const nlohmann::json& config, const TokenIds& ids, TokenizerShard* shard);

// The type and the flags of a token that was added to a vocabulary ("content", "special", "lstrip",
// "rstrip"). One that looks like <|this|> is a control token whatever it says: messages may not
// contain it, and templates write turns with such.
TokenType TypeOfAdded(const nlohmann::json& token);
uint8_t StripsOfAdded(const nlohmann::json& token);

}  // namespace shoal
