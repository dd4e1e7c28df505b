#include "base/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace shoal {
namespace {

prometheus::ClientMetric::Histogram ToPrometheus(const Histogram::Reading& reading) {
  prometheus::ClientMetric::Histogram histogram;
  for (size_t i = 0; i < reading.counts.size(); ++i) {
    histogram.sample_count += reading.counts[i];
    histogram.bucket.push_back({.cumulative_count = histogram.sample_count,
                                .upper_bound = i < reading.bounds.size()
                                                   ? reading.bounds[i]
                                                   : std::numeric_limits<double>::infinity()});
  }
  histogram.sample_sum = reading.sum;
  return histogram;
}

prometheus::MetricType TypeOf(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter:
      return prometheus::MetricType::Counter;
    case MetricKind::kGauge:
      return prometheus::MetricType::Gauge;
    default:
      return prometheus::MetricType::Histogram;
  }
}

// "layer, experts".
std::string NamesOf(const MetricLabels& labels) {
  std::string names;
  for (const auto& [name, value] : labels) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", std::string(name));
  }
  return names;
}

}  // namespace

void Metrics::Add(std::string_view name, double value, MetricLabels labels) {
  AddSample(name, false, {std::move(labels), value});
}

void Metrics::Add(std::string_view name, Histogram::Reading reading, MetricLabels labels) {
  AddSample(name, true, {std::move(labels), std::move(reading)});
}

void Metrics::AddSample(std::string_view name, bool is_histogram, Sample sample) {
  const MetricInfo* info = FindMetric(name);
  SHOAL_CHECK(info != nullptr);
  SHOAL_CHECK(is_histogram == (info->kind == MetricKind::kHistogram));
  SHOAL_CHECK(NamesOf(sample.labels) == info->labels);
  samples_[static_cast<size_t>(info - MetricTable().data())].push_back(std::move(sample));
}

std::string Metrics::Text() const {
  std::vector<prometheus::MetricFamily> families;
  for (const auto& [place, samples] : samples_) {
    const MetricInfo& info = MetricTable()[place];
    prometheus::MetricFamily& family = families.emplace_back();
    family.name = info.name;
    family.help = info.help;
    family.type = TypeOf(info.kind);
    for (const Sample& sample : samples) {
      prometheus::ClientMetric& metric = family.metric.emplace_back();
      for (const auto& [name, value] : sample.labels) {
        metric.label.push_back({std::string(name), value});
      }
      if (const auto* reading = std::get_if<Histogram::Reading>(&sample.value)) {
        metric.histogram = ToPrometheus(*reading);
      } else if (info.kind == MetricKind::kCounter) {
        metric.counter.value = std::get<double>(sample.value);
      } else {
        metric.gauge.value = std::get<double>(sample.value);
      }
    }
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace shoal
