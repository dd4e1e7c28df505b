#pragma once

#include "absl/status/status.h"
#include "model/vocabulary.h"
#include "nlohmann/json_fwd.hpp"

namespace shoal {

// What the post-processor of a tokenizer.json puts before a text: nothing, or the token that
// `vocabulary`, complete but for add_bos, has as its bos or gets as such. What it puts behind a
// text is not for prompts, which go on. Unimplemented, naming the part, for one that is not known;
// InvalidArgument for a token that is none.
absl::Status ReadHfPostProcessor(const nlohmann::json& file, Vocabulary* vocabulary);

}  // namespace shoal
