#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/random.h"
#include "model/data_directory.h"
#include "model/model_config.h"
#include "model/weight_source.h"

namespace shoal {

struct ImportOptions {
  std::string path;             // A GGUF file, or a Hugging Face model's folder.
  std::string model_name = {};  // What clients will call it; empty: as the file says.
  int n_threads = 1;            // They hash and write while one of them reads; at least 1.
  Random* random = nullptr;     // For the import key, where this directory has none yet.
  // Null, or what the shards hold instead of the file's own tensors: the same ones by name and
  // shape, with other types. What it was made with goes to `conversion`, so that another import of
  // the file is another model's; empty without one.
  std::function<absl::StatusOr<std::unique_ptr<WeightSource>>(const WeightSource&,
                                                              const ModelConfig&)>
      convert = {};
  std::string conversion = {};
  // Called now and then, on the caller's thread, with bytes of shards done so far and in all.
  std::function<void(uint64_t bytes_done, uint64_t bytes_all)> on_progress = {};
};

struct ImportResult {
  Sha256Digest model_id = {};
  std::string model_name;
  uint64_t n_bytes = 0;  // Of all shards.
  int n_shards = 0;
  int n_written = 0;           // Shards that were not there before.
  std::string note = {};       // OpenedModel::note.
  bool already_there = false;  // Nothing was read: this very file has been imported before.
};

// Turns a model file into shards and a signed manifest (ARCHITECTURE, "From model file to shards").
// Reads the tensors once, each stretch in the file's order, and holds at most kImportMemory of
// them. Either the model is there afterwards, or it is not and what was written waits for the next
// try, which reads again but writes only what is missing or damaged; `shoal models gc` removes it.
//
// Errors: whatever is wrong with the file, by name. ResourceExhausted before anything is written
// when the disk has too little room, with both numbers. Unavailable while another import runs here.
// FailedPrecondition when the file changes meanwhile.
absl::StatusOr<ImportResult> ImportModel(DataDirectory* data, const ImportOptions& options);

inline constexpr size_t kImportMemory = size_t{128} << 20;

}  // namespace shoal
