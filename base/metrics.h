#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/histogram.h"
#include "base/metric_table.h"

namespace shoal {

// Names and values, in the order of the table's `labels`. Few and bounded (S32); none holds
// anything of a user's (S27).
using MetricLabels = std::vector<std::pair<std::string_view, std::string>>;

// What a process says of itself to whoever asks: samples of the metrics of base/metric_table.h.
// Thread-compatible.
class Metrics {
 public:
  // A counter or a gauge. `name` stands in the table, with these labels.
  void Add(std::string_view name, double value, MetricLabels labels = {});
  // A histogram.
  void Add(std::string_view name, Histogram::Reading reading, MetricLabels labels = {});

  // The text format that Prometheus scrapes, in the table's order.
  std::string Text() const;

 private:
  struct Sample {
    MetricLabels labels;
    std::variant<double, Histogram::Reading> value;
  };
  void AddSample(std::string_view name, bool is_histogram, Sample sample);

  std::map<size_t, std::vector<Sample>> samples_;  // By place in the table.
};

// What every process knows of itself: memory, processor time, files (proc(5)).
void AddProcessMetrics(Metrics* metrics);

}  // namespace shoal
