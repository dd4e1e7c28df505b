#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>
#include <utility>

namespace shoal {

// Owns the bytes of one frame, aligned to 64 so that the numbers in its payload are too. Not
// zeroed: whoever makes one fills it. Move-only.
class FrameBuffer {
 public:
  static constexpr size_t kAlignment = 64;

  FrameBuffer() = default;
  // Throws std::bad_alloc when there is no memory; sizes are checked against caps before.
  explicit FrameBuffer(size_t size) : size_(size) {
    void* memory = nullptr;
    if (size > 0 && posix_memalign(&memory, kAlignment, size) != 0) throw std::bad_alloc();
    data_.reset(static_cast<std::byte*>(memory));
  }
  FrameBuffer(FrameBuffer&& other) noexcept
      : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}
  FrameBuffer& operator=(FrameBuffer&& other) noexcept {
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::span<std::byte> bytes() { return {data_.get(), size_}; }
  std::span<const std::byte> bytes() const { return {data_.get(), size_}; }

  // Gives the memory away; std::free returns it.
  std::byte* Release() {
    size_ = 0;
    return data_.release();
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t size_ = 0;
};

}  // namespace shoal
