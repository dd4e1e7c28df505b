#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "model/data_directory.h"

namespace CLI {
class App;
}

namespace shoal {

// Adds --data-dir; `data_dir` gets its default, DefaultDataDirectory(), and outlives the parse.
void AddDataDirOption(CLI::App* command, std::string* data_dir);

// Opens that directory on this machine's disk.
absl::StatusOr<std::unique_ptr<DataDirectory>> OpenDataDir(const std::string& data_dir,
                                                           DataDirectory::Access access);

// "3.9 GB": for people, in powers of ten as disks are sold.
std::string ReadableBytes(uint64_t n_bytes);

}  // namespace shoal
