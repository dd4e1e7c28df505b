#include "base/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace shoal {
namespace {

prometheus::ClientMetric ToPrometheus(const Metric& metric) {
  prometheus::ClientMetric sample;
  for (const auto& [name, value] : metric.labels) sample.label.push_back({name, value});
  if (metric.kind == MetricKind::kCounter) {
    sample.counter.value = metric.value;
  } else {
    sample.gauge.value = metric.value;
  }
  return sample;
}

}  // namespace

std::string MetricsText(std::span<const Metric> metrics) {
  std::vector<prometheus::MetricFamily> families;
  for (const Metric& metric : metrics) {
    if (families.empty() || families.back().name != metric.name) {
      prometheus::MetricFamily& family = families.emplace_back();
      family.name = metric.name;
      family.help = metric.help;
      family.type = metric.kind == MetricKind::kCounter ? prometheus::MetricType::Counter
                                                        : prometheus::MetricType::Gauge;
    }
    families.back().metric.push_back(ToPrometheus(metric));
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace shoal
