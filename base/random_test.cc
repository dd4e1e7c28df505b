#include "base/random.h"

#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace shoal {
namespace {

TEST(RandomTest, FillsAllOfIt) {
  std::vector<std::byte> bytes(3 << 20);
  SystemRandom()->Fill(bytes);
  std::set<std::byte> seen(bytes.end() - 4096, bytes.end());
  EXPECT_EQ(seen.size(), 256u);
}

TEST(RandomTest, NumbersDiffer) {
  std::set<uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(SystemRandom()->Next64());
  EXPECT_EQ(seen.size(), 1000u);
}

}  // namespace
}  // namespace shoal
