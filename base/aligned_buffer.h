#pragma once

#include <cstddef>
#include <memory>

namespace shoal {

// Owns `size` bytes aligned to 64, zeroed. Pages of large buffers come from the system when they
// are first touched, huge ones where it has them. Move-only.
class AlignedBuffer {
 public:
  static constexpr size_t kAlignment = 64;

  AlignedBuffer() = default;
  // Throws std::bad_alloc when there is no memory; sizes are checked against caps before.
  explicit AlignedBuffer(size_t size);

  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }

 private:
  struct Free {
    size_t paged_bytes;  // Bytes in pages of their own; 0: from the heap.
    Free() : paged_bytes(0) {}
    explicit Free(size_t n) : paged_bytes(n) {}
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t size_ = 0;
};

}  // namespace shoal
