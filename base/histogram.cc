#include "base/histogram.h"

#include <algorithm>

namespace shoal {

void Histogram::Observe(double value) {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  MutexLock lock(&mu_);
  ++counts_[static_cast<size_t>(bucket)];
  sum_ += value;
}

Histogram::Reading Histogram::Read() const {
  MutexLock lock(&mu_);
  return {bounds_, counts_, sum_};
}

}  // namespace shoal
