#pragma once

#include <string>
#include <vector>

#include "model/manifest.h"
#include "model/shard_store.h"

namespace shoal {

// Shards and manifests for tests, small and all sound.

struct TestShard {
  std::string file;  // Header and data.
  ShardInfo info;    // Without tensors.
};

// A shard of `data_bytes` bytes that depend on `seed`.
TestShard MakeTestShard(size_t data_bytes, uint64_t seed);

struct TestModel {
  Manifest manifest;
  std::vector<std::string> files;  // Of manifest.shards, in their order.
};

// A model of n_layers x n_experts experts with three tensors each; `seed` makes others of it. The
// first n_dense layers are dense.
TestModel MakeTestModel(int n_layers = 2, int n_experts = 3, uint64_t seed = 1, int n_dense = 0);

// Puts a shard into a store as a fetch does.
absl::Status PutShard(ShardStore* store, const ShardInfo& info, std::string_view file);

}  // namespace shoal
