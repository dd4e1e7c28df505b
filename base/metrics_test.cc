#include "base/metrics.h"

#include "gtest/gtest.h"

namespace shoal {
namespace {

TEST(MetricsTest, WritesPrometheusText) {
  const std::vector<Metric> metrics = {
      {"shoal_a_total", "What a is.", MetricKind::kCounter, 3, {{"worker", "01"}}},
      {"shoal_a_total", "What a is.", MetricKind::kCounter, 4, {{"worker", "02"}}},
      {"shoal_b_bytes", "What b is.", MetricKind::kGauge, 0.5},
  };
  EXPECT_EQ(MetricsText(metrics),
            "# HELP shoal_a_total What a is.\n"
            "# TYPE shoal_a_total counter\n"
            "shoal_a_total{worker=\"01\"} 3\n"
            "shoal_a_total{worker=\"02\"} 4\n"
            "# HELP shoal_b_bytes What b is.\n"
            "# TYPE shoal_b_bytes gauge\n"
            "shoal_b_bytes 0.5\n");
}

}  // namespace
}  // namespace shoal
