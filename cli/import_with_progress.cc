#include "cli/import_with_progress.h"

#include <algorithm>
#include <cstdio>

#include "base/random.h"
#include "cli/data_option.h"
#include "cli/model_loader.h"
#include "cli/progress.h"

namespace shoal {

absl::StatusOr<ImportResult> ImportWithProgress(const char* command, DataDirectory* data,
                                                const std::string& path,
                                                const std::string& model_name) {
  absl::StatusOr<ImportResult> result = absl::InternalError("not run");
  {
    ProgressLine progress("import");
    result = ImportModel(
        data, {.path = path,
               .model_name = model_name,
               .n_threads = std::max(DefaultThreads(), 2),  // One waits for the disk.
               .random = SystemRandom(),
               .on_progress = [&](uint64_t done, uint64_t all) { progress.Update(done, all); }});
  }
  if (!result.ok()) return result;
  if (result->already_there) {
    std::fprintf(stderr, "shoal %s: %s has been imported before\n", command,
                 result->model_name.c_str());
  } else {
    std::fprintf(stderr, "shoal %s: imported %s: %d shards, %s, %d of them new, in %s\n", command,
                 result->model_name.c_str(), result->n_shards,
                 ReadableBytes(result->n_bytes).c_str(), result->n_written, data->path().c_str());
  }
  return result;
}

}  // namespace shoal
