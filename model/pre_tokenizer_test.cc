#include "model/pre_tokenizer.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Split(std::string_view name, std::string_view text,
                               bool ascii_rules = true) {
  std::vector<std::string> pieces;
  const auto splitter = PreTokenizer::Create(name, ascii_rules);
  EXPECT_TRUE(splitter.ok()) << splitter.status();
  if (!splitter.ok()) return pieces;
  const auto status =
      (*splitter)->Split(text, [&](std::string_view piece) { pieces.emplace_back(piece); });
  EXPECT_TRUE(status.ok()) << status;
  return pieces;
}

TEST(PreTokenizerTest, EveryOneGivesBackTheText) {
  const std::string text =
      "It'S 12345 \u6f22\u5b57\u30a2 a\u0301b  HelloWorld!!/\r\n \n\tx\x01 \U0001F600";
  for (const std::string_view name : PreTokenizer::KnownNames()) {
    std::string whole;
    for (const std::string& piece : Split(name, text)) {
      EXPECT_FALSE(piece.empty()) << name;
      whole += piece;
    }
    EXPECT_EQ(whole, text) << name;
  }
}

TEST(PreTokenizerTest, WordsAreCutWhereCaseChanges) {
  EXPECT_THAT(Split("gpt-4o", "HelloWorld's"), ElementsAre("Hello", "World's"));
  EXPECT_THAT(Split("tekken", "helloWORLD's 12"),
              ElementsAre("hello", "WORLD", "'s", " ", "1", "2"));
}

TEST(PreTokenizerTest, HanIsApartInKimi) {
  EXPECT_THAT(Split("kimi-k2", "ab\u6f22\u5b57cd  \u6f22"),
              ElementsAre("ab", "\u6f22\u5b57", "cd", " ", " ", "\u6f22"));
}

// Goal: what is known of ASCII gives the pieces that the expressions give.
// Method: random texts of what matters to them, and some characters outside ASCII.
TEST(PreTokenizerTest, AsciiRulesChangeNothing) {
  const char* const parts[] = {
      " ",    " ",   "  ",     "\n",     "\r",     "\t", "a", "b",  "S",      "T",      "'",
      "'s",   "'LL", "'ve",    "1",      "234",    ".",  "/", "//", "_",      "\x01",   "\x7f",
      "\x1c", "(",   "\u00e9", "\u017f", "\u3000", "d",  "e", "re", "\u0301", "\u0664", "\u4e2d"};
  uint32_t state = 7;
  const auto next = [&state](uint32_t below) {
    state = state * 1664525 + 1013904223;
    return (state >> 8) % below;
  };
  for (const std::string_view name : PreTokenizer::KnownNames()) {
    std::string text;
    for (int i = 0; i < 30000; ++i) {
      text += parts[next(next(8) == 0 ? std::size(parts) : std::size(parts) - 7)];
    }
    const std::vector<std::string> pieces = Split(name, text);
    const std::vector<std::string> expected = Split(name, text, /*ascii_rules=*/false);
    const auto [at, other] =
        std::mismatch(pieces.begin(), pieces.end(), expected.begin(), expected.end());
    EXPECT_TRUE(at == pieces.end() && other == expected.end())
        << name << ": piece " << at - pieces.begin() << " is '" << *at << "'";
  }
}

TEST(PreTokenizerTest, PatternsAreKnownAsTokenizerJsonWritesThem) {
  EXPECT_EQ(PreTokenizer::NameOf({R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
                                  R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"}),
            "qwen2");
  EXPECT_FALSE(PreTokenizer::NameOf({"x"}).has_value());
}

TEST(PreTokenizerTest, ComposesHangulWithoutLosingAnything) {
  const std::pair<const char*, const char*> cases[] = {
      {"\u1112\u1161\u11AB", "\uD55C"},
      {"\u1112\u1161\u11A7", "\uD558\u11A7"},
      {"\uD558\u11A7\u11AB", "\uD558\u11A7\u11AB"},
      {"\u11A7e\u0301\u11A7\u11A7", "\u11A7\u00E9\u11A7\u11A7"},
      {"", ""},
  };
  for (const auto& [text, composed] : cases) {
    const auto out = PreTokenizer::Normalize(text);
    ASSERT_TRUE(out.ok()) << out.status();
    EXPECT_EQ(*out, composed);
  }
}

}  // namespace
}  // namespace shoal
