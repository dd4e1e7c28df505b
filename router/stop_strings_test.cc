#include "router/stop_strings.h"

#include <random>

#include "gtest/gtest.h"

namespace shoal {
namespace {

std::string Feed(StopStrings* stops, std::initializer_list<std::string_view> pieces) {
  std::string shown;
  for (const std::string_view piece : pieces) shown += stops->Add(piece);
  return shown + stops->Flush();
}

TEST(StopStringsTest, TextWithoutAStopPassesWhole) {
  StopStrings stops({"END"});
  EXPECT_EQ(Feed(&stops, {"one ", "two ", "EN"}), "one two EN");
  EXPECT_FALSE(stops.found());
}

TEST(StopStringsTest, FindsAStopAcrossPieces) {
  StopStrings stops({"END"});
  EXPECT_EQ(Feed(&stops, {"one E", "N", "D two"}), "one ");
  EXPECT_TRUE(stops.found());
  EXPECT_EQ(stops.Add("more"), "");
}

TEST(StopStringsTest, HoldsBackNoMoreThanTheOpenTail) {
  StopStrings stops({"aab"});
  EXPECT_EQ(stops.Add("xaa"), "x");
  EXPECT_EQ(stops.Add("a"), "a");  // "aa" can still become "aab".
  EXPECT_EQ(stops.Add("c"), "aac");
}

TEST(StopStringsTest, TheEarliestOfSeveralEndsTheText) {
  StopStrings stops({"two", "one"});
  EXPECT_EQ(Feed(&stops, {"zero one two"}), "zero ");
}

// Goal: what is shown does not depend on where the pieces were cut.
// Method: random texts over two letters, cut at random, against a search in the whole text.
TEST(StopStringsTest, CutsDoNotMatter) {
  std::mt19937 random(301);
  const std::vector<std::string> stops = {"abab", "bbb", "aabba"};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int i = 0; i < 24; ++i) text += random() % 2 == 0 ? 'a' : 'b';
    size_t expected = std::string::npos;
    for (const std::string& stop : stops) expected = std::min(expected, text.find(stop));
    StopStrings matcher(stops);
    std::string shown;
    for (size_t at = 0; at < text.size();) {
      const size_t n = 1 + random() % 5;
      shown += matcher.Add(std::string_view(text).substr(at, n));
      at += n;
    }
    shown += matcher.Flush();
    EXPECT_EQ(shown, text.substr(0, expected)) << text;
    EXPECT_EQ(matcher.found(), expected != std::string::npos) << text;
  }
}

}  // namespace
}  // namespace shoal
