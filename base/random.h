#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace shoal {

// Where chance comes from; injected, so that a test owns it. Thread-safe.
class Random {
 public:
  virtual ~Random() = default;
  // Fills `out` with bytes nobody can predict.
  virtual void Fill(std::span<std::byte> out) = 0;

  uint64_t Next64() {
    uint64_t value = 0;
    Fill(std::as_writable_bytes(std::span<uint64_t>(&value, 1)));
    return value;
  }
};

// The operating system's generator, good enough for keys. Lives for ever.
Random* SystemRandom();

}  // namespace shoal
