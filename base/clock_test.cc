#include "base/clock.h"

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

TEST(ClockTest, NeverGoesBackAndStartsAtTheWallClock) {
  const absl::Time first = MonotonicNow();
  EXPECT_LT(absl::AbsDuration(first - absl::Now()), absl::Minutes(1));
  absl::Time last = first;
  for (int i = 0; i < 1000; ++i) {
    const absl::Time now = MonotonicNow();
    ASSERT_GE(now, last);
    last = now;
  }
  EXPECT_GT(last, first);
}

}  // namespace
}  // namespace shoal
