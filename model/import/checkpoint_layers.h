#pragma once

#include "absl/status/status.h"
#include "model/families/family.h"
#include "model/import/json_values.h"
#include "model/model_config.h"

namespace shoal {

// What config.json says of single layers: dense ones, and those with a window. n_layers and the
// context's length must be in `config` before, in range.
absl::Status ReadCheckpointLayers(const JsonValues& file, const FamilyCheckpoint& checkpoint,
                                  ModelConfig* config);

}  // namespace shoal
