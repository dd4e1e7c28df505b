#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "model/tokenizer_shard.h"

namespace shoal {

// Reads a checkpoint's tokenizer.json and tokenizer_config.json (empty: there is none), which gives
// the ids of bos, eos and pad and the chat template. `n_tokens` is the model's
// vocab_size, 0 where nobody knows it: ids past the file's become unused tokens. Byte-level BPE and
// SentencePiece BPE are recognised by the parts of the file; Unimplemented, naming the part, for
// any other.
absl::StatusOr<TokenizerShard> ReadHfTokenizer(std::string_view tokenizer_json,
                                               std::string_view config_json, int n_tokens);

}  // namespace shoal
