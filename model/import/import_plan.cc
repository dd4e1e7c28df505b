#include "model/import/import_plan.h"

#include <utility>

#include "base/check.h"
#include "model/families/family.h"
#include "model/shard.h"

namespace shoal {
namespace {

constexpr uint64_t Aligned(uint64_t offset) {
  return (offset + kShardAlignment - 1) / kShardAlignment * kShardAlignment;
}

class Planner {
 public:
  Planner(const WeightSource& file, const ModelConfig& config)
      : file_(file), config_(config), family_(*FindFamily(config.architecture)) {}

  std::vector<PlannedShard> Plan() const {
    std::vector<PlannedShard> shards;
    shards.push_back(Make(ShardKind::kEmbedding, TensorPlace::kEmbedding, -1, -1));
    for (int layer = 0; layer < config_.n_layers; ++layer) {
      shards.push_back(Make(ShardKind::kTrunkLayer, TensorPlace::kTrunkLayer, layer, -1));
    }
    for (int layer = 0; layer < config_.n_layers; ++layer) {
      for (int expert = 0; expert < config_.NumExperts(layer); ++expert) {
        shards.push_back(Make(ShardKind::kExpert, TensorPlace::kExpert, layer, expert));
      }
    }
    shards.push_back(Make(ShardKind::kOutput, TensorPlace::kOutput, -1, -1));
    return shards;
  }

 private:
  PlannedShard Make(ShardKind kind, TensorPlace place, int layer, int expert) const {
    PlannedShard shard;
    shard.info = {.kind = kind, .layer = layer, .expert = expert, .file_bytes = kShardHeaderBytes};
    for (const TensorSpec& spec : family_.tensors) {
      if (PlaceOf(spec) != place || !Applies(spec, config_, layer)) continue;
      if (expert >= 0 && !HoldsExpert(spec, config_, layer, expert)) continue;
      const TensorInfo* tensor = file_.Find(TensorName(spec, layer));
      if (tensor == nullptr) {
        SHOAL_CHECK(spec.optional || spec.part_of);  // OpenModel has seen the others.
        continue;
      }
      Add(*tensor, TensorShape(spec, config_), IsExpertStack(spec) ? expert : -1, &shard);
    }
    return shard;
  }

  // Puts the tensor, or its slice `expert`, behind what the shard has so far. `shape` is the
  // tensor's, without what a file may put before it.
  void Add(const TensorInfo& tensor, std::vector<int64_t> shape, int expert,
           PlannedShard* shard) const {
    ShardTensor slice{.name = tensor.name,
                      .dtype = tensor.dtype,
                      .shape = std::move(shape),
                      .offset = Aligned(shard->info.file_bytes),
                      .n_bytes = tensor.n_bytes};
    uint64_t tensor_offset = 0;
    if (expert >= 0) {
      slice.shape.erase(slice.shape.begin());
      const StackSlice matrix = file_.SliceOf(tensor, expert);
      slice.dtype = matrix.dtype;
      slice.n_bytes = matrix.n_bytes;
      tensor_offset = matrix.offset;
    }
    shard->pieces.push_back({&tensor, tensor_offset, slice.offset, slice.n_bytes});
    shard->info.file_bytes = slice.offset + slice.n_bytes;
    shard->info.tensors.push_back(std::move(slice));
  }

  const WeightSource& file_;
  const ModelConfig& config_;
  const Family& family_;
};

}  // namespace

std::vector<PlannedShard> PlanShards(const WeightSource& file, const ModelConfig& config) {
  return Planner(file, config).Plan();
}

}  // namespace shoal
