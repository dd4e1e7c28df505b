#include "model/pre_tokenizer.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Split(std::string_view name, std::string_view text) {
  std::vector<std::string> pieces;
  const auto splitter = PreTokenizer::Create(name);
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

TEST(PreTokenizerTest, PatternsAreKnownAsTokenizerJsonWritesThem) {
  EXPECT_EQ(PreTokenizer::NameOf({R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
                                  R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"}),
            "qwen2");
  EXPECT_FALSE(PreTokenizer::NameOf({"x"}).has_value());
}

}  // namespace
}  // namespace shoal
