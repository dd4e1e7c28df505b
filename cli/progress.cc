#include "cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "cli/data_option.h"

namespace shoal {
namespace {

constexpr absl::Duration kTerminalPeriod = absl::Milliseconds(100);
constexpr absl::Duration kLogPeriod = absl::Seconds(5);

std::string Amount(uint64_t n, ProgressUnit unit) {
  return unit == ProgressUnit::kBytes ? ReadableBytes(n) : absl::StrCat(n, " tokens");
}

std::string Rate(double per_second, ProgressUnit unit) {
  return unit == ProgressUnit::kBytes ? absl::StrFormat("%.0f MB/s", per_second / 1e6)
                                      : absl::StrFormat("%.0f tokens/s", per_second);
}

}  // namespace

ProgressLine::ProgressLine(std::string what, ProgressUnit unit)
    : what_(std::move(what)),
      unit_(unit),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(MonotonicNow()),
      next_(start_ + (terminal_ ? kTerminalPeriod : kLogPeriod)) {}

ProgressLine::~ProgressLine() {
  if (printed_ && terminal_) std::fputc('\n', stderr);
}

void ProgressLine::Update(uint64_t done, uint64_t all) {
  const absl::Time now = MonotonicNow();
  if (now < next_ || all == 0) return;
  next_ = now + (terminal_ ? kTerminalPeriod : kLogPeriod);
  printed_ = true;
  const double seconds = std::max(absl::ToDoubleSeconds(now - start_), 1e-3);
  const double rate = static_cast<double>(done) / seconds;
  const double left = static_cast<double>(all - std::min(done, all));
  std::fprintf(stderr, "%s%s: %3.0f %% of %s, %s, %.0f s left%s", terminal_ ? "\r" : "",
               what_.c_str(), 100.0 * static_cast<double>(done) / static_cast<double>(all),
               Amount(all, unit_).c_str(), Rate(rate, unit_).c_str(), rate > 0 ? left / rate : 0.0,
               terminal_ ? "   " : "\n");
  std::fflush(stderr);
}

}  // namespace shoal
