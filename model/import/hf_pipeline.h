#pragma once

#include "absl/status/status.h"
#include "model/vocabulary.h"
#include "nlohmann/json_fwd.hpp"

namespace shoal {

// What the normalizer, pre-tokenizer and decoder of a tokenizer.json come to, as `vocabulary` says
// it: pre, nfc, the charsmap, and all about spaces. Its model is "gpt2" or "llama" afterwards, or
// "t5" with `unigram`. Unimplemented, naming the part, for one that is not known or stands where it
// would mean something else.
absl::Status ReadHfPipeline(const nlohmann::json& file, bool unigram, Vocabulary* vocabulary);

}  // namespace shoal
