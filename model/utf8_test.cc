#include "model/utf8.h"

#include "gtest/gtest.h"

namespace shoal {
namespace {

TEST(Utf8Test, AcceptsEveryLengthAndTheEdgesOfEachRange) {
  for (const char* good :
       {"", "a", "\x7F", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
        "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_EQ(FindInvalidUtf8(good), std::string_view::npos) << ::testing::PrintToString(good);
  }
}

TEST(Utf8Test, RefusesWhatRfc3629Forbids) {
  for (const char* bad : {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2",
                          "\xC2"
                          "a",
                          "\xE0\x9F\xBF", "\xE1\x80", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
                          "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"}) {
    EXPECT_EQ(FindInvalidUtf8(bad), 0U) << ::testing::PrintToString(bad);
  }
  EXPECT_EQ(FindInvalidUtf8("ok\xFE"), 2U);
}

}  // namespace
}  // namespace shoal
