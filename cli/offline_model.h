#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/model_loader.h"
#include "model/data_directory.h"
#include "model/tokenizer.h"

namespace CLI {
class App;
}

namespace shoal {

// What commands that read texts through a model in this process, without a cluster, have in common.
struct OfflineModelOptions {
  std::string model;  // A file or folder, or what --data-dir has by that name or id.
  std::string data_dir;
  int64_t ctx_size = 512;
  int threads = 0;
  std::string kv_type = "f16";
  std::string activations = "int8";
};

// MODEL, --data-dir, --ctx-size, --threads, --kv-type and --activations. `options` outlives the
// parse.
void AddOfflineModelOptions(CLI::App* command, OfflineModelOptions* options);

struct OfflineModel {
  std::unique_ptr<DataDirectory> data;  // Null for a model file.
  std::unique_ptr<LoadedModel> model;   // With a cache of ctx_size positions, all for one sequence.
  std::unique_ptr<Tokenizer> tokenizer;
};

// A path that exists is a model file; all else is looked for in the data directory.
absl::StatusOr<OfflineModel> LoadOfflineModel(const OfflineModelOptions& options);

// The file's text, at most kMaxTextBytes.
inline constexpr uint64_t kMaxTextBytes = uint64_t{256} << 20;
absl::StatusOr<std::string> ReadText(const std::string& path);

// Its ids, with the beginning-of-text id before them where the model wants it.
absl::StatusOr<std::vector<int32_t>> EncodeText(const Tokenizer& tokenizer,
                                                const std::string& text);

}  // namespace shoal
