#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "model/data_directory.h"
#include "model/import/importer.h"

namespace shoal {

// Imports a GGUF file, or a folder of safetensors, and says on standard error how far it is and, as
// `command`, what came of it. An empty `model_name`: as the file says.
absl::StatusOr<ImportResult> ImportWithProgress(const char* command, DataDirectory* data,
                                                const std::string& path,
                                                const std::string& model_name);

}  // namespace shoal
