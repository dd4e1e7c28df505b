#include "cli/import_with_progress.h"

#include <algorithm>
#include <cstdio>

#include "base/random.h"
#include "cli/data_option.h"
#include "cli/model_loader.h"
#include "cli/progress.h"

namespace shoal {

absl::StatusOr<ImportResult> ImportWithProgress(const char* command, DataDirectory* data,
                                                ImportOptions options) {
  absl::StatusOr<ImportResult> result = absl::InternalError("not run");
  {
    ProgressLine progress("import");
    options.n_threads = std::max(DefaultThreads(), 2);  // One waits for the disk.
    options.random = SystemRandom();
    options.on_progress = [&](uint64_t done, uint64_t all) { progress.Update(done, all); };
    result = ImportModel(data, options);
  }
  if (!result.ok()) return result;
  if (!result->note.empty()) {
    std::fprintf(stderr, "shoal %s: %s\n", command, result->note.c_str());
  }
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
