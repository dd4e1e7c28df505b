#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/thread_pool.h"
#include "engine/expert_executor.h"
#include "engine/local_experts.h"
#include "model/mat.h"
#include "model/model_config.h"
#include "model/weight_source.h"

namespace shoal {

// Weights that exist in memory only.
class MemoryWeights final : public WeightSource {
 public:
  void Add(std::string name, DType dtype, std::vector<int64_t> shape, std::vector<std::byte> bytes);
  const TensorInfo* Find(std::string_view name) const override;
  absl::Status Read(const TensorInfo& tensor, uint64_t offset,
                    std::span<std::byte> out) const override;

 private:
  struct Entry {
    TensorInfo info;
    std::vector<std::byte> bytes;
  };
  std::unordered_map<std::string, std::unique_ptr<Entry>> entries_;
};

// A model of which only the experts exist: 2 layers, 10 experts, top-3, hidden 96, width 64.
ModelConfig TinyExpertsConfig();

// Random expert weights for it, in F32 or Q8_0.
std::unique_ptr<MemoryWeights> RandomExpertWeights(const ModelConfig& config, DType dtype,
                                                   uint64_t seed);

// Those experts of a slice, loaded; with the threads that compute them.
struct LoadedExperts {
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<LocalExperts> experts;
};
LoadedExperts LoadExperts(const ModelConfig& config, const WeightSource& weights,
                          const ExpertSlice& slice, LocalExperts::Options options);

// Random rows, and random experts for each with weights that add up to 1.
struct RandomRows {
  Mat<float> x;  // [n_tokens, hidden_dim]
  std::vector<int32_t> topk_ids;
  std::vector<float> topk_weights;
  Routing routing;  // Views of the above.

  RandomRows(const ModelConfig& config, int n_tokens, uint64_t seed);
  RandomRows(const RandomRows&) = delete;
};

}  // namespace shoal
