#include "proto/open_rate.h"

#include <algorithm>

#include "base/limits.h"

namespace shoal {
namespace {

// Beyond that many sources those whose buckets are full again are forgotten.
constexpr size_t kManySources = 1024;

double LeftAt(double left, absl::Duration since) {
  return std::min<double>(kMaxOpensAtOnce,
                          left + absl::ToDoubleSeconds(since) * kMaxOpensPerSecond);
}

}  // namespace

bool OpenRate::Admit(const std::string& source, absl::Time now) {
  if (sources_.size() >= kManySources) Forget(now);
  Bucket& bucket = sources_.try_emplace(source, Bucket{kMaxOpensAtOnce, now}).first->second;
  bucket = {LeftAt(bucket.left, now - bucket.filled), now};
  if (bucket.left < 1) return false;
  bucket.left -= 1;
  return true;
}

void OpenRate::Forget(absl::Time now) {
  std::erase_if(sources_, [now](const auto& entry) {
    return LeftAt(entry.second.left, now - entry.second.filled) >= kMaxOpensAtOnce;
  });
}

}  // namespace shoal
