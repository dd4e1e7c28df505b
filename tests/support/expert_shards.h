#pragma once

#include <string>
#include <vector>

#include "model/manifest.h"
#include "model/model_config.h"
#include "model/shard_store.h"
#include "model/weight_source.h"

namespace shoal {

// The experts of `weights` as shards: what an import makes of them. The manifest has these only.
struct ExpertShardFiles {
  Manifest manifest;
  std::vector<std::string> files;  // Of manifest.shards, in their order.
};
ExpertShardFiles CutExperts(const ModelConfig& config, const WeightSource& weights);

// Puts one of them into a store, whole and named rightly.
absl::Status PutFile(ShardStore* store, const ShardInfo& shard, const std::string& file);

}  // namespace shoal
