#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace shoal {

// What a command works through.
enum class ProgressUnit : uint8_t { kBytes, kTokens };

// How far a long command is, on standard error: one line that changes on a terminal, a line every
// few seconds elsewhere; nothing at all when the command ends before the first. Thread-compatible.
class ProgressLine {
 public:
  // `what` begins each line: "import".
  explicit ProgressLine(std::string what, ProgressUnit unit = ProgressUnit::kBytes);
  ~ProgressLine();  // Ends the line.

  void Update(uint64_t done, uint64_t all);

 private:
  const std::string what_;
  const ProgressUnit unit_;
  const bool terminal_;
  const absl::Time start_;
  absl::Time next_;
  bool printed_ = false;
};

}  // namespace shoal
