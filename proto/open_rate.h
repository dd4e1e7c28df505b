#pragma once

#include <map>
#include <string>

#include "absl/time/time.h"

namespace shoal {

// How often each source may open a stream (S16): kMaxOpensPerSecond on average, kMaxOpensAtOnce in
// a burst. Thread-compatible.
class OpenRate {
 public:
  // Counts one opening; false when it is one too many. `source`: an address without its port.
  bool Admit(const std::string& source, absl::Time now);

  // Sources that are remembered: those that opened something of late.
  size_t n_sources() const { return sources_.size(); }

 private:
  struct Bucket {
    double left;
    absl::Time filled;
  };
  void Forget(absl::Time now);

  std::map<std::string, Bucket> sources_;
};

}  // namespace shoal
