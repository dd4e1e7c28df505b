#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace shoal {

enum class MetricKind : uint8_t { kCounter, kGauge, kHistogram };

// Who has a metric; a sum of several.
enum MetricRoles : uint8_t {
  kCoordinatorMetric = 1,
  kRouterMetric = 2,
  kWorkerMetric = 4,
  kNodeMetric = kRouterMetric | kWorkerMetric,
  kEveryMetric = kNodeMetric | kCoordinatorMetric,
};

// One metric. Names follow Prometheus: shoal_router_..., base units, the unit and _total at the
// end; what vLLM counts too has the rest of its name.
struct MetricInfo {
  std::string_view name;
  MetricKind kind = MetricKind::kGauge;
  uint8_t roles = 0;
  std::string_view labels = {};  // "layer, experts"
  std::string_view help = {};
};

// All metrics that any process has: docs/metrics.md is made of them.
std::span<const MetricInfo> MetricTable();
// Null: there is none of that name.
const MetricInfo* FindMetric(std::string_view name);

// The text of docs/metrics.md.
std::string MetricsPage();

}  // namespace shoal
