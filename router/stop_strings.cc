#include "router/stop_strings.h"

#include <algorithm>
#include <utility>

namespace shoal {
namespace {

// The length of the longest tail of `text` that is a beginning of `stop`, all of it excluded.
size_t OpenTail(std::string_view text, std::string_view stop) {
  for (size_t n = std::min(text.size(), stop.size() - 1); n > 0; --n) {
    if (text.substr(text.size() - n) == stop.substr(0, n)) return n;
  }
  return 0;
}

}  // namespace

std::string StopStrings::Add(std::string_view piece) {
  if (found_) return "";
  held_ += piece;
  size_t first = std::string::npos;
  size_t tail = 0;
  for (const std::string& stop : stops_) {
    first = std::min(first, held_.find(stop));
    tail = std::max(tail, OpenTail(held_, stop));
  }
  found_ = first != std::string::npos;
  std::string shown = held_.substr(0, found_ ? first : held_.size() - tail);
  held_.erase(0, found_ ? held_.size() : shown.size());
  return shown;
}

std::string StopStrings::Flush() { return std::exchange(held_, std::string()); }

}  // namespace shoal
