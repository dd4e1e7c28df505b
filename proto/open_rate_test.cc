#include "proto/open_rate.h"

#include "base/limits.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'700'000'000);

int Admitted(OpenRate& rate, const std::string& source, absl::Time now, int n_tries) {
  int n = 0;
  for (int i = 0; i < n_tries; ++i) n += rate.Admit(source, now) ? 1 : 0;
  return n;
}

TEST(OpenRateTest, S16_ABurstIsFollowedByTheAverage) {
  OpenRate rate;
  EXPECT_EQ(Admitted(rate, "a", kStart, 10'000), kMaxOpensAtOnce);
  EXPECT_EQ(Admitted(rate, "a", kStart + absl::Seconds(1), 10'000), kMaxOpensPerSecond);
  EXPECT_EQ(Admitted(rate, "a", kStart + absl::Seconds(1000), 10'000), kMaxOpensAtOnce);
}

TEST(OpenRateTest, S16_OneSourceCostsAnotherNothing) {
  OpenRate rate;
  Admitted(rate, "a", kStart, 10'000);
  EXPECT_TRUE(rate.Admit("b", kStart));
}

TEST(OpenRateTest, QuietSourcesAreForgotten) {
  OpenRate rate;
  for (int i = 0; i < 5000; ++i) {
    EXPECT_TRUE(rate.Admit(std::to_string(i), kStart + i * absl::Milliseconds(20)));
  }
  EXPECT_LT(rate.n_sources(), 1100U);
}

}  // namespace
}  // namespace shoal
