#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/thread_pool.h"
#include "cli/model_source.h"
#include "engine/engine.h"
#include "engine/kv_cache.h"
#include "engine/local_experts.h"
#include "router/dispatch/remote_experts.h"

namespace shoal {

class Node;

struct ModelOptions {
  std::string model_path;  // GGUF file or folder; not used if `node` or `data` is set.
  // A router of a cluster, whose data directory has the shards of model_id but for the experts,
  // which are on the cluster's workers. Outlives the load.
  Node* node = nullptr;
  // Where model_id lies with its experts too, without a cluster. Outlives the load.
  DataDirectory* data = nullptr;
  Sha256Digest model_id = {};
  absl::Duration spin;    // How long to poll for the workers' answers before sleeping.
  int threads = 0;        // 0: one per core.
  int64_t ctx_size = 0;   // Longest sequence; 0: the model's, at most kDefaultContext.
  int64_t kv_tokens = 0;  // Positions of all sequences together; 0: kDefaultSequences * ctx_size.
  KvType kv_type = KvType::kF16;
  bool activations_f32 = false;
  int max_step_tokens = 512;
  std::vector<std::string> workers;  // Addresses of LocalWorkers that hold the experts.

  bool has_remote_experts() const { return node != nullptr || !workers.empty(); }
};

inline constexpr int64_t kDefaultContext = 4096;
inline constexpr int kDefaultSequences = 4;

// One thread per core this process may use.
int DefaultThreads();

// What `shoal up`, `bench` and `logits` all start from: a model (a file, or shards), its experts
// (here or on workers), a KV cache and the engine over them.
class LoadedModel {
 public:
  struct Room {
    uint64_t left_to_experts = 0;  // Bytes of memory beside the KV cache and the other weights.
    uint64_t expert_bytes = 0;     // That the model has.
  };
  // What Load would refuse without reading any weight: a bad file, or what does not fit.
  static absl::StatusOr<Room> Check(const ModelOptions& options);
  // Refuses what does not fit before it reads any weight. Experts of a cluster's workers have no
  // members at first.
  static absl::StatusOr<std::unique_ptr<LoadedModel>> Load(const ModelOptions& options);
  ~LoadedModel();

  const ModelConfig& config() const { return source_->config(); }
  absl::StatusOr<Vocabulary> vocabulary() const { return source_->vocabulary(); }
  absl::StatusOr<std::string> chat_template() const { return source_->chat_template(); }
  std::string model_name() const { return source_->model_name(); }  // As the model says.
  std::string model_id() const { return source_->model_id(); }      // Hex digits.
  uint64_t n_bytes() const { return source_->n_bytes(); }           // As the model is stored.
  const KernelTable& kernels() const { return kernels_; }
  int64_t ctx_size() const { return ctx_size_; }
  Engine& engine() { return *engine_; }
  KvCache& kv_cache() { return *kv_cache_; }
  LocalExperts* local_experts() { return local_experts_.get(); }     // Null with workers.
  RemoteExperts* remote_experts() { return remote_experts_.get(); }  // Null without.
  ThreadPool& pool() { return *pool_; }  // The engine's; free between two steps.
  int n_threads() const { return pool_->n_threads(); }

 private:
  explicit LoadedModel(const KernelTable& kernels) : kernels_(kernels) {}
  absl::Status OpenSource(const ModelOptions& options);
  absl::Status Open(const ModelOptions& options);
  // Bytes beyond the KV cache and the weights that this process holds.
  absl::StatusOr<int64_t> FreeMemory(const ModelOptions& options) const;
  absl::Status LoadExperts(const ModelOptions& options);
  absl::Status ConnectExperts(const ModelOptions& options, RowFormat format);

  const KernelTable& kernels_;
  std::unique_ptr<ModelSource> source_;
  ModelSlice slice_;
  int64_t ctx_size_ = 0;
  int64_t kv_tokens_ = 0;  // Positions of the whole cache.
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<LocalExperts> local_experts_;
  std::unique_ptr<RemoteExperts> remote_experts_;
  SoloExchange exchange_;
  std::unique_ptr<KvCache> kv_cache_;
  std::unique_ptr<Engine> engine_;
};

// "f16" or "f32". InvalidArgument, naming both, for anything else.
absl::StatusOr<KvType> ParseKvType(const std::string& name);

}  // namespace shoal
