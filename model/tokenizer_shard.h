#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "model/manifest.h"
#include "model/shard_store.h"
#include "model/vocabulary.h"

namespace shoal {

// What a kTokenizer shard holds: how text becomes ids, and how messages become text.
struct TokenizerShard {
  Vocabulary vocabulary;      // Without tokens: the model has no tokenizer.
  std::string chat_template;  // Empty: it has none.
};

// Longest text in it, a token or the template; what a GGUF value may have.
inline constexpr size_t kMaxTokenizerText = size_t{16} << 20;

// The shard's data, behind its header (docs/shard_format.md). The same tokenizer always gives the
// same bytes.
std::string EncodeTokenizerShard(const TokenizerShard& shard);

// InvalidArgument, with the offset, unless `data` is such a shard's: counts, token types, merges
// and special ids are checked as for a model file, and no other bytes encode the same.
absl::StatusOr<TokenizerShard> DecodeTokenizerShard(std::string_view data);

// The tokenizer of a model, out of its verified shard. Besides the above: NotFound when it is not
// here, DataLoss when it is damaged, InvalidArgument when it has not as many tokens as the model.
absl::StatusOr<TokenizerShard> LoadTokenizerShard(ShardStore* store, const Manifest& manifest);

}  // namespace shoal
