#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "base/clock.h"
#include "model/manifest.h"
#include "model/shard_store.h"

namespace shoal {

// Reads stored experts again and again and checks that they are still what their names say, so that
// a disk that rots is noticed while a good copy exists (F11). Every byte within a day, at most
// 5 MB/s. Owned by the thread that calls RunOnce.
class Scrubber {
 public:
  struct Options {
    ShardStore* files = nullptr;  // Outlives this.
    Clock* clock = SystemClock();
    // Called for a file that was corrupt and is deleted now.
    std::function<void(const ShardInfo&)> on_corrupt;
  };
  Scrubber(Options options, std::shared_ptr<const Manifest> manifest);

  // Checks the next file, if that is due. Returns when to call again.
  absl::Time RunOnce();

  uint64_t bytes_checked() const { return bytes_checked_; }

 private:
  void BeginRound();

  const Options options_;
  const std::shared_ptr<const Manifest> manifest_;
  std::vector<const ShardInfo*> round_;  // What lay here when the round began.
  size_t next_ = 0;                      // Into round_.
  double bytes_per_s_ = 0;
  absl::Time due_;
  uint64_t bytes_checked_ = 0;
};

}  // namespace shoal
