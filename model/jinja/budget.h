#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"

namespace shoal::jinja {

// Caps of FAILURE-MODEL S23. A step is one node of the program or one element or 128 bytes that an
// operation touches, 50 to 100 ns, so that a million of them bounds time and memory too, with the
// same verdict on every machine.
inline constexpr size_t kMaxTemplateBytes = size_t{64} << 10;
inline constexpr int kMaxNesting = 256;  // Of the program, and of any value.
inline constexpr int kMaxCalls = 100;    // Macros inside macros.
inline constexpr int kMaxFrames = 1000;  // Nodes under evaluation at once: bounds the C++ stack.
inline constexpr int64_t kMaxSteps = 1000000;
inline constexpr size_t kMaxTextBytes = size_t{4} << 20;  // Of the output, and of any string.

// What one rendering has used up.
class Budget {
 public:
  absl::Status Charge(size_t steps) {
    steps_ += static_cast<int64_t>(steps);
    if (steps_ > kMaxSteps) [[unlikely]] {
      return absl::ResourceExhaustedError("the template takes more than 1000000 steps");
    }
    return absl::OkStatus();
  }
  // For an operation that reads or writes a string of this size.
  absl::Status ChargeBytes(size_t bytes) {
    if (bytes > kMaxTextBytes) [[unlikely]] {
      return absl::ResourceExhaustedError("a text in the template grows past 4 MiB");
    }
    return Charge(1 + bytes / 128);
  }

 private:
  int64_t steps_ = 0;
};

}  // namespace shoal::jinja
