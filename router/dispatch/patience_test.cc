// How long peers and calls are waited for: PeerPulse, CallLatency, RetryBudget.
#include "gtest/gtest.h"
#include "router/dispatch/call_latency.h"
#include "router/dispatch/peer_pulse.h"
#include "router/dispatch/retry_budget.h"

namespace shoal {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'000'000);

absl::Time At(int64_t ms) { return kStart + absl::Milliseconds(ms); }

TEST(PeerPulseTest, F03_SilentAfterThreeHundredMilliseconds) {
  PeerPulse pulse;
  pulse.Reset(At(0));
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(pulse.Due(At(100 * i)));
    const uint64_t id = pulse.Ask(At(100 * i));
    EXPECT_FALSE(pulse.Due(At(100 * i + 99)));
    EXPECT_EQ(pulse.OnAnswer(id, At(100 * i + 20)), At(100 * i));
  }
  EXPECT_FALSE(pulse.Silent(At(4920 + 300)));
  EXPECT_TRUE(pulse.Silent(At(4920 + 301)));
}

TEST(PeerPulseTest, ASlowPeerIsGivenMoreTimeButNotForEver) {
  PeerPulse pulse;
  pulse.Reset(At(0));
  for (int i = 0; i < 100; ++i) pulse.OnAnswer(pulse.Ask(At(1000 * i)), At(1000 * i + 200));
  EXPECT_EQ(pulse.Limit(), absl::Milliseconds(800));
  for (int i = 100; i < 300; ++i) pulse.OnAnswer(pulse.Ask(At(9000 * i)), At(9000 * i + 8000));
  EXPECT_EQ(pulse.Limit(), absl::Seconds(3));
}

TEST(PeerPulseTest, F23_AnswersToNothingAreNoSignOfLife) {
  PeerPulse pulse;
  pulse.Reset(At(0));
  const uint64_t id = pulse.Ask(At(0));
  EXPECT_FALSE(pulse.OnAnswer(id + 1, At(10)).has_value());
  EXPECT_TRUE(pulse.OnAnswer(id, At(10)).has_value());
  EXPECT_FALSE(pulse.OnAnswer(id, At(400)).has_value());  // Twice.
  EXPECT_TRUE(pulse.Silent(At(400)));
}

TEST(PeerPulseTest, AMutePeerIsAskedABoundedNumberOfTimes) {
  PeerPulse pulse;
  pulse.Reset(At(0));
  int n_asked = 0;
  for (int i = 0; i < 1000; ++i) {
    if (!pulse.Due(At(100 * i))) continue;
    pulse.Ask(At(100 * i));
    ++n_asked;
  }
  EXPECT_EQ(n_asked, static_cast<int>(PeerPulse::kMaxUnanswered));
}

TEST(PeerPulseTest, OurOwnPauseIsNobodysSilence) {
  PeerPulse pulse;
  pulse.Reset(At(0));
  pulse.OnAnswer(pulse.Ask(At(0)), At(10));
  pulse.Excuse(absl::Seconds(5));
  EXPECT_FALSE(pulse.Silent(At(5200)));
  EXPECT_TRUE(pulse.Silent(At(5400)));
}

TEST(CallLatencyTest, PatienceFollowsTheSlowestOfAThousand) {
  CallLatency latency(2);
  const absl::Duration cap = absl::Seconds(1);
  EXPECT_EQ(latency.Patience(0, 1, cap), cap);  // Nothing is known.
  for (int i = 0; i < 2000; ++i) latency.Add(0, 1, absl::Milliseconds(1));
  EXPECT_EQ(latency.Patience(0, 1, cap), absl::Milliseconds(50));
  for (int i = 0; i < 20; ++i) latency.Add(0, 1, absl::Milliseconds(40));
  EXPECT_GT(latency.Patience(0, 1, cap), absl::Milliseconds(160));
  EXPECT_LT(latency.Patience(0, 1, cap), absl::Milliseconds(260));
  EXPECT_EQ(latency.Patience(0, 64, cap), cap);  // Other rows, and other layers, are apart.
  EXPECT_EQ(latency.Patience(1, 1, cap), cap);
}

TEST(CallLatencyTest, AnyDurationAndAnyNumberOfRowsHasAPlace) {
  CallLatency latency(1);
  for (int i = 0; i < 100; ++i) {
    latency.Add(0, 1 << 20, absl::InfiniteDuration());
    latency.Add(0, 0, -absl::Seconds(1));
  }
  EXPECT_EQ(latency.Patience(0, 1 << 20, absl::Seconds(10)), absl::Seconds(10));
  EXPECT_EQ(latency.Patience(0, 0, absl::Seconds(10)), absl::Milliseconds(50));
}

TEST(RetryBudgetTest, F29_ATenthOfTheCallsAndThreeASecond) {
  RetryBudget budget;
  int n_taken = 0;
  for (int i = 0; i < 100; ++i) n_taken += budget.TryTake(At(0)) ? 1 : 0;
  EXPECT_EQ(n_taken, 3);
  for (int i = 0; i < 1000; ++i) budget.OnCall(At(1000));
  for (int i = 0; i < 1000; ++i) n_taken += budget.TryTake(At(1000)) ? 1 : 0;
  EXPECT_EQ(n_taken, 100);
  n_taken = 0;
  for (int i = 0; i < 100; ++i) n_taken += budget.TryTake(At(60'000)) ? 1 : 0;  // All forgotten.
  EXPECT_EQ(n_taken, 3);
}

}  // namespace
}  // namespace shoal
