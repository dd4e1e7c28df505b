#include "base/aligned_buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>

namespace shoal {
namespace {

constexpr size_t kMapFrom = size_t{1} << 20;  // Below this the heap is quicker and wastes less.

}  // namespace

void AlignedBuffer::Free::operator()(std::byte* p) const {
  if (mapped > 0) {
    munmap(p, mapped);
  } else {
    std::free(p);
  }
}

AlignedBuffer::AlignedBuffer(size_t size) : size_(size) {
  if (size == 0) return;
  if (size >= kMapFrom) {
    void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    madvise(p, size, MADV_HUGEPAGE);  // Advice only: without huge pages all works, slower.
    data_ = {static_cast<std::byte*>(p), Free(size)};
    return;
  }
  const size_t rounded = (size + kAlignment - 1) / kAlignment * kAlignment;
  void* p = std::aligned_alloc(kAlignment, rounded);
  if (p == nullptr) throw std::bad_alloc();
  std::memset(p, 0, rounded);
  data_ = {static_cast<std::byte*>(p), Free()};
}

}  // namespace shoal
