#include "cli/data_option.h"

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace shoal {

void AddDataDirOption(CLI::App* command, std::string* data_dir) {
  *data_dir = DefaultDataDirectory();
  command->add_option("--data-dir", *data_dir, "Folder that holds models and what a node keeps");
}

absl::StatusOr<std::unique_ptr<DataDirectory>> OpenDataDir(const std::string& data_dir,
                                                           DataDirectory::Access access) {
  if (data_dir.empty()) {
    return absl::InvalidArgumentError("--data-dir: is empty; name a folder");
  }
  return DataDirectory::Open(MachineFileSystem(), data_dir, access);
}

std::string ReadableBytes(uint64_t n_bytes) {
  if (n_bytes < 1000) return absl::StrCat(n_bytes, " B");
  double value = static_cast<double>(n_bytes) / 1000;
  const char* unit = "kB";
  for (const char* larger : {"MB", "GB", "TB"}) {
    if (value < 1000) break;
    value /= 1000;
    unit = larger;
  }
  return absl::StrFormat("%.1f %s", value, unit);
}

}  // namespace shoal
