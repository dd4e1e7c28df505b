#pragma once

#include <cstddef>
#include <map>

#include "base/mutex.h"

namespace shoal {

// Memory in whole pages out of regions that begin on a huge page and ask for huge ones: buffers
// smaller than a huge page then lie side by side on one, where mappings of their own would get
// none. First fit by address. What is released goes back to the system: whole huge pages at once,
// parts of one when memory is short. Thread-safe.
class PageArena {
 public:
  static constexpr size_t kRegionBytes = size_t{64} << 20;
  static constexpr size_t kHugePageBytes = size_t{2} << 20;

  ~PageArena();  // Everything has been released.

  // `n_bytes` > 0, zeroed, aligned to a page; null when the system has none. Pages are taken when
  // they are first touched.
  std::byte* Allocate(size_t n_bytes) SHOAL_EXCLUDES(mu_);
  // Gives back what Allocate(n_bytes) returned.
  void Release(std::byte* p, size_t n_bytes) SHOAL_EXCLUDES(mu_);

  // Address space that is held, in bytes.
  size_t mapped_bytes() const SHOAL_EXCLUDES(mu_);

 private:
  using Ranges = std::map<std::byte*, size_t>;  // Bytes by begin.

  std::byte* AllocatePages(size_t n_bytes) SHOAL_EXCLUDES(mu_);
  std::byte* TakeFree(size_t n_bytes) SHOAL_REQUIRES(mu_);

  mutable Mutex mu_;
  Ranges regions_ SHOAL_GUARDED_BY(mu_);
  Ranges free_ SHOAL_GUARDED_BY(mu_);  // Each within one region, no two of one region adjacent.
};

}  // namespace shoal
