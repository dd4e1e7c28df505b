#include "cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/clock.h"
#include "cli/data_option.h"

namespace shoal {
namespace {

constexpr absl::Duration kTerminalPeriod = absl::Milliseconds(100);
constexpr absl::Duration kLogPeriod = absl::Seconds(5);

}  // namespace

ProgressLine::ProgressLine(std::string what)
    : what_(std::move(what)),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(MonotonicNow()),
      next_(start_ + (terminal_ ? kTerminalPeriod : kLogPeriod)) {}

ProgressLine::~ProgressLine() {
  if (printed_ && terminal_) std::fputc('\n', stderr);
}

void ProgressLine::Update(uint64_t bytes_done, uint64_t bytes_all) {
  const absl::Time now = MonotonicNow();
  if (now < next_ || bytes_all == 0) return;
  next_ = now + (terminal_ ? kTerminalPeriod : kLogPeriod);
  printed_ = true;
  const double seconds = std::max(absl::ToDoubleSeconds(now - start_), 1e-3);
  const double rate = static_cast<double>(bytes_done) / seconds;
  const double left = static_cast<double>(bytes_all - std::min(bytes_done, bytes_all));
  std::fprintf(stderr, "%s%s: %3.0f %% of %s, %.0f MB/s, %.0f s left%s", terminal_ ? "\r" : "",
               what_.c_str(), 100.0 * static_cast<double>(bytes_done) / bytes_all,
               ReadableBytes(bytes_all).c_str(), rate / 1e6, rate > 0 ? left / rate : 0.0,
               terminal_ ? "   " : "\n");
  std::fflush(stderr);
}

}  // namespace shoal
