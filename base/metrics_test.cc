#include "base/metrics.h"

#include <fstream>
#include <iterator>
#include <set>

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

TEST(MetricTableTest, NamesAreDistinctAndSayTheirKind) {
  std::set<std::string_view> names;
  for (const MetricInfo& info : MetricTable()) {
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_EQ(info.name.ends_with("_total"), info.kind == MetricKind::kCounter) << info.name;
    EXPECT_NE(info.roles, 0) << info.name;
    EXPECT_TRUE(info.help.ends_with(".")) << info.name;
  }
}

// Goal: docs/metrics.md is the table. If this fails: ninja -C build metrics_page, then
// build/base/metrics_page > docs/metrics.md
TEST(MetricTableTest, ThePageIsCurrent) {
  std::ifstream file("docs/metrics.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(page, MetricsPage());
}

}  // namespace
}  // namespace shoal
