#pragma once

#include "absl/status/status.h"
#include "model/families/family.h"
#include "model/import/gguf_keys.h"
#include "model/model_config.h"

namespace shoal {

// How a GGUF file's layers let positions see each other: the heads of attention, latent attention,
// and which layers are convolutions or the delta rule, with their numbers. `config` has its counts
// and all of rope. InvalidArgument naming the key that is missing or asks for something else.
absl::Status ReadMixers(const GgufKeys& keys, const Family& family, ModelConfig* config);

}  // namespace shoal
