#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/metric_table.h"

namespace shoal {

// One number of a process, read when somebody asks. Names follow Prometheus: shoal_router_..., the
// unit and _total at the end. Labels are few and bounded; none holds anything of a user's.
struct Metric {
  std::string_view name;  // Its samples stand together.
  std::string_view help;
  MetricKind kind = MetricKind::kGauge;
  double value = 0;
  std::vector<std::pair<std::string, std::string>> labels = {};
};

// The text format that Prometheus scrapes.
std::string MetricsText(std::span<const Metric> metrics);

}  // namespace shoal
