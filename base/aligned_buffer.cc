#include "base/aligned_buffer.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "base/page_arena.h"

namespace shoal {
namespace {

constexpr size_t kPagesFrom = size_t{256} << 10;  // Below this the heap is quicker, wastes less.

// Outlives every buffer.
PageArena& Arena() {
  static PageArena* const arena = new PageArena;
  return *arena;
}

}  // namespace

void AlignedBuffer::Free::operator()(std::byte* p) const {
  if (paged_bytes > 0) {
    Arena().Release(p, paged_bytes);
  } else {
    std::free(p);
  }
}

AlignedBuffer::AlignedBuffer(size_t size) : size_(size) {
  if (size == 0) return;
  if (size >= kPagesFrom) {
    std::byte* const p = Arena().Allocate(size);
    if (p == nullptr) throw std::bad_alloc();
    data_ = {p, Free(size)};
    return;
  }
  const size_t rounded = (size + kAlignment - 1) / kAlignment * kAlignment;
  void* p = std::aligned_alloc(kAlignment, rounded);
  if (p == nullptr) throw std::bad_alloc();
  std::memset(p, 0, rounded);
  data_ = {static_cast<std::byte*>(p), Free()};
}

}  // namespace shoal
