#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace shoal {

// How long calls take, by layer and number of rows, and from it how long one is waited for before
// another replica is asked, too (FAILURE-MODEL 4). Pure; thread-compatible.
class CallLatency {
 public:
  explicit CallLatency(int n_layers) : histograms_(size_t(n_layers) * kRowBuckets) {}

  void Add(int layer, int n_rows, absl::Duration took);

  // max(50 ms, 4 x p99.9), at most `cap`; `cap` while too few calls are known.
  absl::Duration Patience(int layer, int n_rows, absl::Duration cap) const;

 private:
  static constexpr int kRowBuckets = 13;  // 1, 2, 3-4, 5-8, ... 2049-4096 rows.
  static constexpr int kBins = 36;        // From 32 us on, two to an octave: up to 8 s.
  static constexpr uint32_t kFewest = 32;
  static constexpr uint32_t kMost = 8192;  // Then all counts are halved: the past fades.
  struct Histogram {
    std::array<uint32_t, kBins> counts = {};
    uint32_t total = 0;
  };

  static size_t IndexOf(int layer, int n_rows);

  std::vector<Histogram> histograms_;  // [n_layers, kRowBuckets]
};

}  // namespace shoal
