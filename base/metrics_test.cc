#include "base/metrics.h"

#include <fstream>
#include <iterator>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

TEST(MetricsTest, WritesPrometheusTextInTheOrderOfTheTable) {
  Metrics metrics;
  metrics.Add("shoal_router_worker_calls_total", 3, {{"worker", "01"}});
  metrics.Add("shoal_node_epoch", 0.5);
  metrics.Add("shoal_router_worker_calls_total", 4, {{"worker", "a\"b"}});
  EXPECT_EQ(metrics.Text(),
            "# HELP shoal_node_epoch Epoch of the snapshot that the node follows; 0: none yet.\n"
            "# TYPE shoal_node_epoch gauge\n"
            "shoal_node_epoch 0.5\n"
            "# HELP shoal_router_worker_calls_total Calls sent to the worker.\n"
            "# TYPE shoal_router_worker_calls_total counter\n"
            "shoal_router_worker_calls_total{worker=\"01\"} 3\n"
            "shoal_router_worker_calls_total{worker=\"a\\\"b\"} 4\n");
}

TEST(MetricsTest, AHistogramCountsWhatIsAtMostItsBounds) {
  constexpr double kBounds[] = {1, 2};
  Histogram histogram(kBounds);
  for (const double value : {0.5, 1.0, 2.0, 7.0}) histogram.Observe(value);
  Metrics metrics;
  metrics.Add("shoal_router_iteration_tokens", histogram.Read());
  EXPECT_THAT(metrics.Text(), HasSubstr("shoal_router_iteration_tokens_count 4\n"
                                        "shoal_router_iteration_tokens_sum 10.5\n"
                                        "shoal_router_iteration_tokens_bucket{le=\"1\"} 2\n"
                                        "shoal_router_iteration_tokens_bucket{le=\"2\"} 3\n"
                                        "shoal_router_iteration_tokens_bucket{le=\"+Inf\"} 4\n"));
}

TEST(MetricsTest, EveryProcessKnowsItsMemory) {
  Metrics metrics;
  AddProcessMetrics(&metrics);
  const std::string text = metrics.Text();
  for (const MetricInfo& info : MetricTable()) {
    if (!info.name.starts_with("process_")) continue;
    EXPECT_THAT(text, HasSubstr(std::string(info.name)));
  }
  EXPECT_THAT(text, ::testing::Not(HasSubstr("process_resident_memory_bytes 0\n")));
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
