#pragma once

#include "absl/status/status.h"
#include "model/families/family.h"
#include "model/import/json_values.h"
#include "model/model_config.h"

namespace shoal {

// Rotary embedding from a config.json: rope_parameters, or rope_theta and rope_scaling. Heads'
// sizes and the context's length must be in `config` before. Refuses a kind that is not computed,
// and any member of these objects that is not known.
absl::Status ReadCheckpointRope(const JsonValues& file, const CheckpointType& type,
                                ModelConfig* config);

}  // namespace shoal
