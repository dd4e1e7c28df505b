#pragma once

#include "absl/status/statusor.h"
#include "cli/model_loader.h"
#include "nlohmann/json_fwd.hpp"

namespace shoal {

// What each worker of `model` has done, by its own counters; an empty list without workers.
absl::StatusOr<nlohmann::ordered_json> WorkerReports(LoadedModel& model);

// Dispatch's cost between two readings of its counters, per token.
nlohmann::ordered_json NetworkReport(const DispatchCounters& before, const DispatchCounters& after,
                                     int64_t n_tokens);

}  // namespace shoal
