#include "base/page_arena.h"

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "base/check.h"

namespace shoal {
namespace {

size_t RoundUp(size_t n, size_t to) { return (n + to - 1) / to * to; }

size_t PageBytes() {
  static const auto bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

// Maps `n_bytes`, a multiple of a huge page, at the begin of one; null when there is no room.
std::byte* MapRegion(size_t n_bytes) {
  constexpr size_t kHuge = PageArena::kHugePageBytes;
  void* mapped =
      mmap(nullptr, n_bytes + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(mapped);
  const size_t before =
      RoundUp(reinterpret_cast<uintptr_t>(begin), kHuge) - reinterpret_cast<uintptr_t>(begin);
  if (before > 0) munmap(begin, before);
  munmap(begin + before + n_bytes, kHuge - before);
  // Advice only: without huge pages all works, slower.
  madvise(begin + before, n_bytes, MADV_HUGEPAGE);
  ASAN_POISON_MEMORY_REGION(begin + before, n_bytes);
  return begin + before;
}

}  // namespace

PageArena::~PageArena() {
  MutexLock lock(&mu_);
  SHOAL_CHECK(regions_.empty());
}

// Under the address sanitizer only the bytes that were asked for may be touched.
std::byte* PageArena::Allocate(size_t n_bytes) {
  std::byte* const p = AllocatePages(RoundUp(n_bytes, PageBytes()));
  if (p != nullptr) ASAN_UNPOISON_MEMORY_REGION(p, n_bytes);
  return p;
}

std::byte* PageArena::AllocatePages(size_t n_bytes) {
  MutexLock lock(&mu_);
  std::byte* p = TakeFree(n_bytes);
  if (p != nullptr) return p;
  const size_t region_bytes = RoundUp(std::max(n_bytes, kRegionBytes), kHugePageBytes);
  p = MapRegion(region_bytes);
  if (p == nullptr) return nullptr;
  regions_[p] = region_bytes;
  if (region_bytes > n_bytes) free_[p + n_bytes] = region_bytes - n_bytes;
  return p;
}

std::byte* PageArena::TakeFree(size_t n_bytes) {
  const auto range = std::find_if(free_.begin(), free_.end(),
                                  [&](const auto& free) { return free.second >= n_bytes; });
  if (range == free_.end()) return nullptr;
  const auto [p, size] = *range;
  free_.erase(range);
  if (size > n_bytes) free_[p + n_bytes] = size - n_bytes;
  return p;
}

void PageArena::Release(std::byte* p, size_t n_bytes) {
  n_bytes = RoundUp(n_bytes, PageBytes());
  madvise(p, n_bytes, MADV_DONTNEED);  // Zeroes when it is touched again.
  ASAN_POISON_MEMORY_REGION(p, n_bytes);
  MutexLock lock(&mu_);
  const auto region = std::prev(regions_.upper_bound(p));
  std::byte* const region_end = region->first + region->second;
  auto next = free_.lower_bound(p);
  if (next != free_.end() && next->first == p + n_bytes && next->first != region_end) {
    n_bytes += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin() && p != region->first) {
    const auto before = std::prev(next);
    if (before->first + before->second == p) {
      p = before->first;
      n_bytes += before->second;
      free_.erase(before);
    }
  }
  if (n_bytes == region->second) {
    ASAN_UNPOISON_MEMORY_REGION(p, n_bytes);
    munmap(p, n_bytes);
    regions_.erase(region);
    return;
  }
  free_[p] = n_bytes;
}

size_t PageArena::mapped_bytes() const {
  MutexLock lock(&mu_);
  size_t n_bytes = 0;
  for (const auto& [begin, size] : regions_) n_bytes += size;
  return n_bytes;
}

}  // namespace shoal
