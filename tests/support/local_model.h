#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "engine/engine.h"
#include "engine/local_experts.h"
#include "kernels/kernel_table.h"
#include "model/data_directory.h"
#include "model/import/open_model.h"
#include "model/manifest.h"
#include "model/weight_source.h"

namespace shoal {

// A model file or folder wholly in this process, for tests: every part is the production one.
// Creation throws std::runtime_error with the status text.
class LocalModel {
 public:
  struct Options {
    const KernelTable* kernels = nullptr;  // Null: the selected one.
    int n_threads = 2;
    KvType kv_type = KvType::kF16;
    bool activations_f32 = false;
    int64_t kv_tokens = 4096;
    // What a file cannot say may be put in here.
    std::function<void(ModelConfig&)> change_config = nullptr;
    DataDirectory* data = nullptr;  // The weights come from shards: the file is imported here.
  };
  LocalModel(const std::string& path, Options options);

  const ModelConfig& config() const { return config_; }
  const TokenizerShard& tokenizer() const { return *file_.tokenizer; }
  Engine& engine() { return *engine_; }
  KvCache& kv_cache() { return *kv_cache_; }

  // Logits of every position of `ids`, read in steps of `chunk` rows: [n_tokens * vocab_size].
  // With n_others > 0, that many other sequences (rotations of ids) share each step.
  std::vector<float> Logits(std::span<const int32_t> ids, int chunk, int n_others = 0);

  // The greedy continuation of `ids`, n tokens, not stopping at end-of-text.
  std::vector<int32_t> Greedy(std::span<const int32_t> ids, int n);

 private:
  const WeightSource& Weights(const std::string& path, const Options& options);

  OpenedModel file_;
  Manifest manifest_;                      // With Options::data.
  std::unique_ptr<WeightSource> weights_;  // Its shards'.
  ModelConfig config_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<LocalExperts> experts_;
  SoloExchange exchange_;
  std::unique_ptr<KvCache> kv_cache_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace shoal
