#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "model/data_directory.h"
#include "model/model_config.h"
#include "model/vocabulary.h"
#include "model/weight_source.h"

namespace shoal {

// A model as it lies somewhere: its numbers, its weights and its text. Immutable but for weights,
// whose Read is thread-safe.
class ModelSource {
 public:
  virtual ~ModelSource() = default;

  virtual const ModelConfig& config() const = 0;
  virtual const WeightSource& weights() const = 0;
  // InvalidArgument when the model has none, or a bad one.
  virtual absl::StatusOr<Vocabulary> vocabulary() const = 0;
  // Empty when the model has none.
  virtual absl::StatusOr<std::string> chat_template() const = 0;
  virtual std::string model_name() const = 0;  // What clients call it.
  // Names these very bytes: hex digits. Different for a model file and for what was imported from
  // it.
  virtual std::string model_id() const = 0;
  virtual uint64_t n_bytes() const = 0;       // Of everything stored.
  virtual uint64_t expert_bytes() const = 0;  // Of the experts' matrices alone.
  // Forgets what weights() keeps in memory between reads: loading is over.
  virtual void DropCache() {}
};

// A model of a data directory, out of its shards. Its tokenizer's shard is read at once, the others
// when they are wanted; `n_threads` threads read at the same time. `data` outlives the result.
absl::StatusOr<std::unique_ptr<ModelSource>> OpenStoredModel(DataDirectory* data,
                                                             const Sha256Digest& id, int n_threads);

// A GGUF file, or a Hugging Face model's folder.
absl::StatusOr<std::unique_ptr<ModelSource>> OpenForeignModel(const std::string& path);

}  // namespace shoal
