#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "model/tokenizer_shard.h"

namespace shoal {

// Reads a checkpoint's tokenizer.model, SentencePiece's own file (BPE or unigram; a Protobuf
// message), with tokenizer_config.json and added_tokens.json, either of which may be empty.
// `n_tokens` is the model's vocab_size, 0 where nobody knows it: ids past the files' become unused
// tokens. InvalidArgument for bad bytes; Unimplemented, naming it, for an option that is not known.
absl::StatusOr<TokenizerShard> ReadSentencePieceModel(std::string_view model,
                                                      std::string_view config_json,
                                                      std::string_view added_json, int n_tokens);

}  // namespace shoal
