#pragma once

#include "absl/status/status.h"
#include "base/byte_codec.h"
#include "model/model_config.h"

namespace shoal {

// The options of a ModelConfig that came after version 2 of the manifest, by name: only those that
// differ from their defaults take room, ascending by name, so that a model without any of them
// keeps the bytes, and with them the id, that it had.

bool HasOptions(const ModelConfig& config);

void EncodeOptions(const ModelConfig& config, ByteWriter& writer);

// Into a config whose `layers` are read already. InvalidArgument naming an option that is unknown,
// stands where it must not, or has a value that its type does not hold; ValidateConfig knows
// ranges.
absl::Status DecodeOptions(ByteReader& reader, ModelConfig& config);

}  // namespace shoal
