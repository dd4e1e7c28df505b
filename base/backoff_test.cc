#include "base/backoff.h"

#include <cstring>

#include "gtest/gtest.h"

namespace shoal {
namespace {

class SameBytes final : public Random {
 public:
  explicit SameBytes(int byte) : byte_(byte) {}
  void Fill(std::span<std::byte> out) override { std::memset(out.data(), byte_, out.size()); }

 private:
  const int byte_;
};

TEST(BackoffTest, DoublesBetweenItsBounds) {
  SameBytes most(0xFF);
  Backoff backoff(absl::Milliseconds(100), absl::Milliseconds(500), &most);
  for (const int expected_ms : {100, 200, 400, 500, 500}) {
    const absl::Duration wait = backoff.Next();
    EXPECT_LE(wait, absl::Milliseconds(expected_ms));
    EXPECT_GT(wait, absl::Milliseconds(expected_ms) - absl::Microseconds(1));
  }
  backoff.Reset();
  EXPECT_LE(backoff.Next(), absl::Milliseconds(100));
}

TEST(BackoffTest, ChanceTakesUpToHalf) {
  SameBytes least(0);
  Backoff backoff(absl::Milliseconds(100), absl::Seconds(1), &least);
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(50));
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(100));
}

}  // namespace
}  // namespace shoal
