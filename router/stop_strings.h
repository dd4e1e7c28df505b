#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace shoal {

// Finds stop strings in a text that arrives in pieces. Thread-compatible.
class StopStrings {
 public:
  // Each at least one byte long.
  explicit StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // Takes the next piece and gives what may be shown: everything up to the first stop string, less
  // a tail that a later piece could complete to one. Empty once `found`.
  std::string Add(std::string_view piece);
  // What was held back, when no more pieces come.
  std::string Flush();

  bool found() const { return found_; }

 private:
  const std::vector<std::string> stops_;
  std::string held_;
  bool found_ = false;
};

}  // namespace shoal
