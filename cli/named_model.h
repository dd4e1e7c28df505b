#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cli/model_loader.h"
#include "model/data_directory.h"

namespace shoal {

// What MODEL may be, for --help.
inline constexpr char kModelHelp[] =
    "GGUF file, or folder of safetensors; or a model of --data-dir, by name or id";

// Finds `model` as a user names it: a path that exists is a model file or folder, all else is
// looked for in the data directory. Sets model_path, or data and model_id of *options; the result,
// null for a file, is that directory and outlives their use. NotFound, with what there is.
absl::StatusOr<std::unique_ptr<DataDirectory>> FindNamedModel(const std::string& model,
                                                              const std::string& data_dir,
                                                              ModelOptions* options);

}  // namespace shoal
