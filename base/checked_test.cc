#include "base/checked.h"

#include <cstdint>
#include <limits>

#include "gtest/gtest.h"

namespace shoal {
namespace {

using CheckedU64 = Checked<uint64_t>;
constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

TEST(CheckedTest, ComputesWhatFits) {
  EXPECT_EQ((CheckedU64(3) * CheckedU64(5) + CheckedU64(2) - CheckedU64(1)).value(), 16U);
  EXPECT_EQ((CheckedU64(kMax) + CheckedU64(0)).value(), kMax);
}

TEST(CheckedTest, OverflowAnywhereEmptiesTheResult) {
  EXPECT_FALSE((CheckedU64(kMax) + CheckedU64(1)).value());
  EXPECT_FALSE((CheckedU64(0) - CheckedU64(1)).value());
  EXPECT_FALSE((CheckedU64(uint64_t{1} << 32) * CheckedU64(uint64_t{1} << 32)).value());
  EXPECT_FALSE((CheckedU64(kMax) * CheckedU64(2) - CheckedU64(kMax)).value());
}

}  // namespace
}  // namespace shoal
