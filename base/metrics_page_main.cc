// Prints docs/metrics.md. Run by hand when the table changes: metrics_page > docs/metrics.md
#include <cstdio>

#include "base/metric_table.h"

int main() {
  const std::string page = shoal::MetricsPage();
  return std::fwrite(page.data(), 1, page.size(), stdout) == page.size() ? 0 : 1;
}
