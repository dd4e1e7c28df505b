#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "proto/router_load.h"
#include "router/dispatch/remote_experts.h"
#include "router/router.h"

namespace shoal {

// What a router did over the last few seconds, from readings of its counters. Thread-compatible.
class LoadWindow {
 public:
  // Takes a reading; every second or so. `experts` may be null.
  RouterLoad Update(const Router& router, const RemoteExperts* experts, absl::Time now);

 private:
  struct Reading {
    absl::Time at;
    uint64_t generation_tokens = 0;
    uint64_t prompt_tokens = 0;
    uint64_t steps = 0;
    std::array<double, kLoadParts> part_s = {};
    std::map<std::string, std::pair<uint64_t, absl::Duration>> workers;  // Answers, time of calls.
  };
  static Reading Read(const StepMeter::Reading& steps, const Router& router,
                      const RemoteExperts* experts, absl::Time now);
  static std::vector<RouterLoad::Worker> Workers(const Reading& from, const Reading& to);

  std::deque<Reading> readings_;  // Oldest first.
};

}  // namespace shoal
