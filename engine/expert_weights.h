#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "kernels/packed_matrix.h"
#include "model/manifest.h"
#include "model/model_config.h"
#include "model/weight_source.h"

namespace shoal {

// One expert's matrices, packed for one kernel table. Never changes once it is made, so that any
// number of threads may hold it.
struct ExpertWeights {
  PackedMatrix w_gate;           // [ffn_dim, hidden_dim]
  PackedMatrix w_up;             // [ffn_dim, hidden_dim]
  PackedMatrix w_down;           // [hidden_dim, ffn_dim]
  std::vector<float> gate_bias;  // As many as rows of w_gate; empty without biases
  std::vector<float> up_bias;
  std::vector<float> down_bias;

  size_t n_bytes() const {
    return w_gate.n_bytes() + w_up.n_bytes() + w_down.n_bytes() +
           (gate_bias.size() + up_bias.size() + down_bias.size()) * sizeof(float);
  }
};

// Expert `expert` of `layer`, packed on the calling thread. NotFound: the source has no such
// tensor. InvalidArgument: it is no such stack. Thread-safe.
absl::StatusOr<std::shared_ptr<const ExpertWeights>> ReadExpert(const ModelConfig& config,
                                                                const WeightSource& source,
                                                                int layer, int expert,
                                                                const KernelTable& kernels);

// The same out of its shard: `read` fills what it is given with the file's next bytes, from the
// begin on; each piece is packed while the caches hold it. Whoever reads says in the end whether
// these were the shard's bytes, and with that whether the weights count. Errors of `read` are
// passed on. InvalidArgument when the shard's tensors are not those that the model's family
// asks for. Thread-safe.
absl::StatusOr<std::shared_ptr<const ExpertWeights>> PackExpertShard(
    const ModelConfig& config, const ShardInfo& shard,
    absl::FunctionRef<absl::Status(std::span<std::byte>)> read, const KernelTable& kernels);

// What such a shard takes in memory once it is packed, in bytes.
uint64_t PackedExpertBytes(const ShardInfo& shard, const KernelTable& kernels);

}  // namespace shoal
