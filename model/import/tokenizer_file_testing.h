#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "model/tokenizer.h"
#include "model/tokenizer_shard.h"

namespace shoal {

// What the fuzzers of tokenizer files ask of whatever was read: a reason, or a tokenizer that
// works.
inline void CheckTokenizerFile(absl::StatusOr<TokenizerShard> shard) {
  if (!shard.ok()) {
    SHOAL_CHECK(!shard.status().message().empty());
    return;
  }
  SHOAL_CHECK_EQ(shard->vocabulary.tokens.size(), shard->vocabulary.types.size());
  const auto t = Tokenizer::Create(std::move(shard->vocabulary));
  if (!t.ok()) return;
  for (const char* text : {"a b  ab<s>A1\u00e9\uff21e\u0301\u2581", " <unk>\n\tab", ""}) {
    for (const bool parse_special : {false, true}) {
      const auto ids = (*t)->Encode(text, parse_special);
      SHOAL_CHECK(ids.ok());
      Detokenizer stream(t->get(), {.keep_special = true});
      std::string streamed;
      for (const int32_t id : *ids) {
        SHOAL_CHECK(id >= 0 && id < (*t)->vocab_size());
        SHOAL_CHECK(parse_special || !(*t)->IsControl(id) || id == (*t)->vocabulary().unk_id);
        streamed += stream.Add(id);
      }
      SHOAL_CHECK(streamed + stream.Flush() == (*t)->Decode(*ids));
    }
  }
}

}  // namespace shoal
