#include "cli/named_model.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/data_option.h"

namespace shoal {

absl::StatusOr<std::unique_ptr<DataDirectory>> FindNamedModel(const std::string& model,
                                                              const std::string& data_dir,
                                                              ModelOptions* options) {
  std::error_code error;
  if (std::filesystem::exists(model, error) || model.find('/') != std::string::npos) {
    options->model_path = model;
    return nullptr;
  }
  SHOAL_ASSIGN_OR_RETURN(auto data, OpenDataDir(data_dir, DataDirectory::Access::kShared));
  const auto id = data->FindModel(model);
  if (!id.ok()) {
    return absl::Status(id.status().code(), absl::StrCat("no file ", model, ", and ",
                                                         std::string(id.status().message())));
  }
  options->data = data.get();
  options->model_id = *id;
  return data;
}

}  // namespace shoal
