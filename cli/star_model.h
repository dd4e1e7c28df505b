#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/placement_planner.h"
#include "model/manifest.h"
#include "model/model_config.h"

namespace shoal {

// How fast a router and its workers decode and read prompts, before anything is loaded: the star of
// docs/architecture.md. Pure functions; the same input gives the same answer.

// What a token costs.
struct StarModel {
  ModelConfig config;
  ExpertBytes expert_bytes;
  std::vector<std::vector<double>> expert_ops;  // Multiplications and additions of one row.
  uint64_t trunk_bytes = 0;        // What a router holds: all but experts and KV cache.
  uint64_t token_trunk_bytes = 0;  // Of those, read for each token.
  double token_trunk_ops = 0;
  bool float_rows = false;  // Rows travel as f32: some expert has matrices that are not quantized.

  uint64_t all_expert_bytes() const;
};
// `shards`: of a manifest, or of an import that is only planned.
StarModel MakeStarModel(const ModelConfig& config, std::span<const ShardInfo> shards);

// Memory of a box that holds its part already, but nobody has said in how much.
inline constexpr uint64_t kMemoryNotKnown = UINT64_MAX;

struct StarNode {
  std::string name;
  uint64_t memory_bytes = 0;  // For the model; or kMemoryNotKnown.
  double read_gb_per_s = 0;
  double gops = 0;                 // Of int8 products, in prefill; 0: estimated from read_gb_per_s.
  absl::Duration round_trip = {};  // To the router's box.
  double link_gbit_per_s = 1;
  bool router = false;  // Runs the router; at most one does.
  bool worker = true;   // Holds experts.
};

struct StarOptions {
  int replicas = 2;
  int64_t prompt_tokens = 512;
  int64_t context = 1024;          // Positions in the cache while it decodes.
  uint64_t kv_bytes = 0;           // Memory of the router's cache.
  uint64_t position_kv_bytes = 0;  // Of one position of one sequence.
};

// One decoded token of a single sequence, by what it waits for; and a prompt.
struct StarPrediction {
  absl::Duration trunk;        // The router reads its weights and the cache.
  absl::Duration experts;      // Experts, were they spread evenly.
  absl::Duration imbalance;    // The busiest worker beyond that.
  absl::Duration round_trips;  // And the software at both ends.
  absl::Duration transfer;     // Bytes on links.
  absl::Duration first_token;  // From a prompt of prompt_tokens to its first token.

  absl::Duration token() const { return trunk + experts + imbalance + round_trips + transfer; }
  double tokens_per_s() const { return 1 / absl::ToDoubleSeconds(token()); }
  // The largest of the five, in words, with its share.
  std::string Limit() const;
};

struct StarPlan {
  std::vector<StarNode> nodes;  // As given.
  Placement placement;
  std::vector<int> n_experts;          // One per node.
  std::vector<uint64_t> expert_bytes;  // One per node.
  int router = 0;                      // Index of its node.
  StarPrediction prediction;
};
// By the planner that places experts in a running cluster. Without a node that says `router` it is
// the first. ResourceExhausted, with the numbers, when the model does not fit.
absl::StatusOr<StarPlan> PlanStar(const StarModel& model, std::vector<StarNode> nodes,
                                  const StarOptions& options);

// Tokens per second of one box that holds everything; nothing when it does not fit, or nobody
// knows.
std::optional<double> PredictAlone(const StarModel& model, const StarNode& node,
                                   const StarOptions& options);

}  // namespace shoal
