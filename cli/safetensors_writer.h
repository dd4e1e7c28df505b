#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "model/mat.h"

namespace shoal {

// Writes one F32 tensor [rows, cols] as a safetensors file: an 8-byte header length, a JSON header,
// the data. Unavailable, naming the file, when it cannot be written.
absl::Status WriteSafetensors(const std::string& path, const std::string& tensor_name,
                              MatView<const float> values);

}  // namespace shoal
