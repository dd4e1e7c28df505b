#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "model/data_directory.h"
#include "model/import/importer.h"

namespace shoal {

// Imports a GGUF file, or a folder of safetensors, and says on standard error how far it is and, as
// `command`, what came of it. `options` without threads, chance and progress, which are set here.
absl::StatusOr<ImportResult> ImportWithProgress(const char* command, DataDirectory* data,
                                                ImportOptions options);

}  // namespace shoal
