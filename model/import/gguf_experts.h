#pragma once

#include "absl/status/status.h"
#include "model/families/family.h"
#include "model/import/gguf_keys.h"
#include "model/model_config.h"

namespace shoal {

// Everything that feeds forward, as a GGUF file says it: which layers are dense, how many experts
// the others have and how wide, how a row's experts are chosen and weighed. `config` has its
// n_layers. InvalidArgument naming the key or tensor that is missing or asks for something else.
absl::Status ReadExperts(const GgufKeys& keys, const Family& family, ModelConfig* config);

}  // namespace shoal
