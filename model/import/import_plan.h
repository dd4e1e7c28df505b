#pragma once

#include <cstdint>
#include <vector>

#include "model/manifest.h"
#include "model/model_config.h"
#include "model/weight_source.h"

namespace shoal {

// One shard that an import will make: where its bytes lie in the file and where they go.
struct PlannedShard {
  // Bytes of one tensor, or of one expert's slice of a stack.
  struct Piece {
    const TensorInfo* tensor = nullptr;  // Of the reader.
    uint64_t tensor_offset = 0;          // First byte, into the tensor.
    uint64_t shard_offset = 0;           // Where it goes, from the begin of the shard's file.
    uint64_t n_bytes = 0;
    uint64_t file_offset() const { return tensor->file_offset + tensor_offset; }
  };
  ShardInfo info;             // Complete but for the hashes.
  std::vector<Piece> pieces;  // One per tensor, ascending by shard_offset.
};

// Every shard of the model but its tokenizer's, in the manifest's order: tensors in the order of
// the family's table, each aligned. `file` has what ReadModelConfig checked, and outlives the
// result.
std::vector<PlannedShard> PlanShards(const WeightSource& file, const ModelConfig& config);

}  // namespace shoal
