#include "router/dispatch/call_latency.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace shoal {
namespace {

constexpr double kFirstBinUs = 32;

}  // namespace

size_t CallLatency::IndexOf(int layer, int n_rows) {
  const int bucket = std::bit_width(static_cast<unsigned>(std::max(n_rows, 1) - 1));
  return static_cast<size_t>(layer) * kRowBuckets + std::min(bucket, kRowBuckets - 1);
}

void CallLatency::Add(int layer, int n_rows, absl::Duration took) {
  Histogram& histogram = histograms_[IndexOf(layer, n_rows)];
  const double us = std::max(absl::ToDoubleMicroseconds(took), kFirstBinUs);
  const double bin = std::min(2 * std::log2(us / kFirstBinUs), double{kBins - 1});
  ++histogram.counts[static_cast<size_t>(bin)];
  if (++histogram.total < kMost) return;
  histogram.total = 0;
  for (uint32_t& count : histogram.counts) histogram.total += count /= 2;
}

absl::Duration CallLatency::Patience(int layer, int n_rows, absl::Duration cap) const {
  const Histogram& histogram = histograms_[IndexOf(layer, n_rows)];
  if (histogram.total < kFewest) return cap;
  uint32_t above = histogram.total / 1000;  // Calls that may lie above the p99.9.
  int bin = kBins - 1;
  for (; bin > 0 && histogram.counts[bin] <= above; --bin) above -= histogram.counts[bin];
  const double upper_us = kFirstBinUs * std::exp2((bin + 1) / 2.0);
  return std::min(std::max(absl::Milliseconds(50), 4 * absl::Microseconds(upper_us)), cap);
}

}  // namespace shoal
