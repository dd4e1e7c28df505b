#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/mutex.h"

namespace shoal {

// How values are spread: counts by bucket, and their sum. Thread-safe.
class Histogram {
 public:
  // Of values up to and including bounds[i], above bounds[i - 1]; a last bucket has what is larger.
  // `bounds` ascend and outlive this.
  explicit Histogram(std::span<const double> bounds)
      : bounds_(bounds), counts_(bounds.size() + 1) {}

  void Observe(double value) SHOAL_EXCLUDES(mu_);

  struct Reading {
    std::span<const double> bounds = {};
    std::vector<uint64_t> counts = {};  // One per bucket, not added up; one more than bounds.
    double sum = 0;
  };
  Reading Read() const SHOAL_EXCLUDES(mu_);

 private:
  const std::span<const double> bounds_;
  mutable Mutex mu_;
  std::vector<uint64_t> counts_ SHOAL_GUARDED_BY(mu_);
  double sum_ SHOAL_GUARDED_BY(mu_) = 0;
};

// Bounds of times in seconds, from half a millisecond to two minutes.
inline constexpr double kSecondsBounds[] = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2,
                                            0.5,    1,     2,     5,     10,   20,   60,   120};
// Bounds of counts of tokens.
inline constexpr double kTokensBounds[] = {1,   2,   4,    8,    16,   32,    64,    128,
                                           256, 512, 1024, 2048, 4096, 16384, 65536, 262144};

}  // namespace shoal
