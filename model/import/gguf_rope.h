#pragma once

#include "absl/status/status.h"
#include "model/families/family.h"
#include "model/import/gguf_keys.h"
#include "model/model_config.h"

namespace shoal {

// Everything of rope that a GGUF file says: dimensions, bases, stretching by a factor, by YaRN, or
// by lists of divisors. `config` has its head_dim and context_length. InvalidArgument naming the
// key or tensor that asks for something else.
absl::Status ReadRope(const GgufKeys& keys, const Family& family, ModelConfig* config);

}  // namespace shoal
