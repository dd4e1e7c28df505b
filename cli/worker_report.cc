#include "cli/worker_report.h"

#include <vector>

#include "base/clock.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace shoal {

absl::StatusOr<nlohmann::ordered_json> WorkerReports(LoadedModel& model) {
  auto reports = nlohmann::ordered_json::array();
  if (model.remote_experts() == nullptr) return reports;
  SHOAL_ASSIGN_OR_RETURN(
      const std::vector<WorkerStatus> workers,
      model.remote_experts()->GetWorkerStatus(MonotonicNow() + absl::Seconds(10)));
  for (const WorkerStatus& worker : workers) {
    reports.push_back({{"address", worker.address},
                       {"isa", worker.isa},
                       {"calls", worker.calls},
                       {"rows_computed", worker.rows_computed},
                       {"compute_ms", absl::ToDoubleMilliseconds(worker.compute)},
                       {"bytes_in", worker.bytes_in},
                       {"bytes_out", worker.bytes_out},
                       {"resident_experts", worker.resident_experts},
                       {"resident_expert_bytes", worker.resident_expert_bytes},
                       {"rss_bytes", worker.rss_bytes}});
  }
  return reports;
}

nlohmann::ordered_json NetworkReport(const DispatchCounters& before, const DispatchCounters& after,
                                     int64_t n_tokens) {
  const auto per_token = [n_tokens](double total) {
    return n_tokens > 0 ? total / static_cast<double>(n_tokens) : 0.0;
  };
  return {
      {"calls_per_token", per_token(static_cast<double>(after.calls - before.calls))},
      {"bytes_out_per_token", per_token(static_cast<double>(after.bytes_out - before.bytes_out))},
      {"bytes_in_per_token", per_token(static_cast<double>(after.bytes_in - before.bytes_in))},
      {"wait_ms_per_token", per_token(absl::ToDoubleMilliseconds(after.wait - before.wait))}};
}

}  // namespace shoal
