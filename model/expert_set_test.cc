#include "model/expert_set.h"

#include "gtest/gtest.h"

namespace shoal {
namespace {

TEST(ExpertSetTest, HoldsWhatWasInsertedAndNothingElse) {
  ExpertSet set(3, 5);
  EXPECT_TRUE(set.empty());
  set.Insert(0, 0);
  set.Insert(2, 4);
  set.Insert(1, 3);
  set.Erase(1, 3);
  set.Erase(7, 7);
  EXPECT_EQ(set.size(), 2);
  EXPECT_TRUE(set.Contains(2, 4));
  EXPECT_FALSE(set.Contains(1, 3));
  EXPECT_FALSE(set.Contains(3, 0));
  EXPECT_FALSE(set.Contains(0, -1));
}

TEST(ExpertSetTest, SurvivesItsBytes) {
  ExpertSet set(3, 5);
  set.Insert(1, 2);
  set.Insert(2, 4);
  EXPECT_EQ(*ExpertSet::FromBytes(set.Bytes(), 3, 5), set);
  EXPECT_EQ(*ExpertSet::FromBytes("", 3, 5), ExpertSet(3, 5));
}

TEST(ExpertSetTest, RefusesOtherLengthsAndBitsPastTheEnd) {
  EXPECT_FALSE(ExpertSet::FromBytes("a", 3, 5).ok());
  EXPECT_TRUE(ExpertSet::FromBytes(std::string("\xff\x7f", 2), 3, 5).ok());
  EXPECT_FALSE(ExpertSet::FromBytes(std::string("\x00\x80", 2), 3, 5).ok());
}

}  // namespace
}  // namespace shoal
