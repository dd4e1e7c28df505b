#include "base/quoted.h"

#include "gtest/gtest.h"

namespace shoal {
namespace {

TEST(QuotedTest, EscapesAndCuts) {
  EXPECT_EQ(Quoted("blk.0"), "'blk.0'");
  EXPECT_EQ(Quoted(std::string("a\0\n\xFF", 4)), "'a\\x00\\n\\xff'");
  EXPECT_EQ(Quoted(std::string(65, 'x')), "'" + std::string(64, 'x') + "...'");
  EXPECT_EQ(Quoted(std::string(64, 'x')), "'" + std::string(64, 'x') + "'");
}

}  // namespace
}  // namespace shoal
