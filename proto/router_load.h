#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace shoal {

namespace wire {
class RouterLoad;
}

// What the time of a router's steps is made of. Network: what dispatch waited for beyond the
// computing of the worker that answered last.
inline constexpr int kLoadParts = 6;
inline constexpr std::array<const char*, kLoadParts> kLoadPartNames = {
    "attention", "gate", "network", "experts", "head", "other"};

// What a router did over the last few seconds (wire::RouterLoad). All zero: nothing.
struct RouterLoad {
  struct Expert {
    int layer = 0;
    int expert = 0;
    uint64_t rows = 0;      // Since the router serves this model.
    double times_mean = 0;  // Those rows over the mean of its layer's experts.
    friend bool operator==(const Expert&, const Expert&) = default;
  };
  struct Worker {
    std::string node_id;
    double calls_per_s = 0;
    double call_s = 0;  // From a call to its answer, mean.
    friend bool operator==(const Worker&, const Worker&) = default;
  };
  double generation_tokens_per_s = 0;
  double prompt_tokens_per_s = 0;
  double steps_per_s = 0;
  int running = 0;  // Answers.
  int waiting = 0;
  double kv_use = 0;                           // Share of the cache that is reserved.
  std::array<double, kLoadParts> shares = {};  // Of the steps' time; sum 1, or 0 without steps.
  std::vector<Expert> hottest;                 // Most rows first.
  std::vector<Worker> workers;                 // Slowest first.
  friend bool operator==(const RouterLoad&, const RouterLoad&) = default;
};

// How many of each a report names.
inline constexpr int kMaxLoadExperts = 16;
inline constexpr int kMaxLoadWorkers = 16;

void ToWire(const RouterLoad& load, wire::RouterLoad* message);
// InvalidArgument, naming the field, its value and the bound.
absl::StatusOr<RouterLoad> FromWire(const wire::RouterLoad& message);

}  // namespace shoal
