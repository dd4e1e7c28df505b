#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/expert_set.h"

namespace shoal {

// Which worker holds which expert: a pure function of sizes, speeds and what is held now. The same
// input gives the same plan.

struct PlannerWorker {
  std::string node_id;
  uint64_t memory_bytes = 0;  // For experts.
  double read_gb_per_s = 0;   // Measured; 0: not known, taken as the others' mean.
  ExpertSet holds;            // Resident or on its way: keeping is cheaper than moving.
  bool draining = false;      // Gets nothing.
};

// [layer][expert] as resident in memory. Layers may differ in how many experts they have.
using ExpertBytes = std::vector<std::vector<uint64_t>>;

struct PlannerInput {
  ExpertBytes expert_bytes;
  int n_experts = 0;                   // The most that any layer has: the width of sets.
  std::vector<PlannerWorker> workers;  // Ascending by node id.
  int replicas = 2;                    // Wanted of every expert, on different workers.

  int n_layers() const { return static_cast<int>(expert_bytes.size()); }
  int NumExperts(int layer) const { return static_cast<int>(expert_bytes[layer].size()); }
};

struct Placement {
  std::vector<ExpertSet> assigned;  // One per worker of the input.
  int replicas = 0;     // That every expert has: fewer than wanted where memory is short.
  std::string warning;  // Why there are fewer; empty if not.
};

// Every expert on `replicas` workers, in every layer in proportion to the workers' speeds as far as
// their memory allows: a step waits for its slowest worker, and each layer is a step of its own.
// What is held already stays where the shares allow it. ResourceExhausted, with the numbers, when
// not even one replica of everything fits.
absl::StatusOr<Placement> PlanPlacement(const PlannerInput& input);

}  // namespace shoal
