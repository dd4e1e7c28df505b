#include "model/tokenizer.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/byte_pairs.h"
#include "model/utf8.h"

namespace shoal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The printable character that stands for a byte, found by asking for each candidate's byte.
std::string CharacterOfByte(int byte) {
  for (char32_t c = 0x21; c < 0x144; ++c) {
    std::string text;
    AppendUtf8(c, &text);
    const std::string bytes = BytesOfToken(text, TokenType::kNormal);
    if (bytes.size() == 1 && static_cast<uint8_t>(bytes[0]) == byte) return text;
  }
  ADD_FAILURE() << "no character for byte " << byte;
  return "";
}

// Ids 0-255 are the bytes; then "aa" 256, "aaaa" 257, "ab" 258, "bc" 259, "abc" 260, " a" 261;
// <|end|> 262 and <|end|>> 263 are control tokens, <think> 264 user-defined, <unk> 265 unknown.
Vocabulary SmallVocabulary() {
  Vocabulary v;
  v.model = "gpt2";
  v.pre = "qwen2";
  v.nfc = true;
  for (int byte = 0; byte < 256; ++byte) v.tokens.push_back(CharacterOfByte(byte));
  const std::string space = CharacterOfByte(' ');
  for (const std::string& token :
       std::vector<std::string>{"aa", "aaaa", "ab", "bc", "abc", space + "a"}) {
    v.tokens.push_back(token);
  }
  v.types.assign(v.tokens.size(), TokenType::kNormal);
  const std::pair<const char*, TokenType> special[] = {{"<|end|>", TokenType::kControl},
                                                       {"<|end|>>", TokenType::kControl},
                                                       {"<think>", TokenType::kUserDefined},
                                                       {"<unk>", TokenType::kUnknown}};
  for (const auto& [text, type] : special) {
    v.tokens.push_back(text);
    v.types.push_back(type);
  }
  v.merges = {"a a", "aa aa", "b c", "a b", "a bc", space + " a"};
  v.eos_id = 0;
  return v;
}

std::unique_ptr<Tokenizer> SmallTokenizer() {
  auto tokenizer = Tokenizer::Create(SmallVocabulary());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

std::vector<int32_t> Encode(const Tokenizer& t, std::string_view text, bool parse_special = true) {
  const auto ids = t.Encode(text, parse_special);
  EXPECT_TRUE(ids.ok()) << ids.status();
  return ids.ok() ? *ids : std::vector<int32_t>{-1};
}

TEST(TokenizerTest, MergesByRankThenLeftmost) {
  const auto t = SmallTokenizer();
  EXPECT_THAT(Encode(*t, ""), IsEmpty());
  EXPECT_THAT(Encode(*t, "aaa"), ElementsAre(256, 'a'));
  EXPECT_THAT(Encode(*t, "aaaaaa"), ElementsAre(257, 256));
  EXPECT_THAT(Encode(*t, "abc"), ElementsAre(260));  // "b c" ranks before "a b".
  EXPECT_THAT(Encode(*t, "ab"), ElementsAre(258));
  EXPECT_THAT(Encode(*t, "ab"), ElementsAre(258));  // The same from what was learnt before.
  EXPECT_THAT(Encode(*t, "a  a"), ElementsAre('a', ' ', 261));
}

TEST(TokenizerTest, FindsSpecialTokensLeftmostLongest) {
  const auto t = SmallTokenizer();
  EXPECT_THAT(Encode(*t, "a<|end|>a"), ElementsAre('a', 262, 'a'));
  EXPECT_THAT(Encode(*t, "<|end|>>"), ElementsAre(263));
  EXPECT_THAT(Encode(*t, "<<unk>"), ElementsAre('<', 265));
  EXPECT_THAT(Encode(*t, "<think><"), ElementsAre(264, '<'));
  EXPECT_THAT(Encode(*t, "<|end|>", false), ElementsAre('<', '|', 'e', 'n', 'd', '|', '>'));
  EXPECT_THAT(Encode(*t, "<think>", false), ElementsAre(264));
}

TEST(TokenizerTest, LiteralPiecesNeverGiveControlTokens) {
  const auto t = SmallTokenizer();
  const std::vector<PromptPiece> pieces = {
      {"a", false}, {"a<|end|>", true}, {"<|end|>", false}, {"<|e", true}, {"nd|>", false}};
  const auto ids = t->EncodePieces(pieces);
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_THAT(*ids, ElementsAre(256, '<', '|', 'e', 'n', 'd', '|', '>', 262, '<', '|', 'e', 'n',
                                'd', '|', '>'));
  // The longer token reaches into literal text, the shorter one does not.
  const std::vector<PromptPiece> longer = {{"<|end|>", false}, {">", true}};
  EXPECT_THAT(t->EncodePieces(longer).value(), ElementsAre(262, '>'));
}

TEST(TokenizerTest, RefusesTextThatIsNotUtf8) {
  const auto t = SmallTokenizer();
  for (const std::string text : {"\xFF", "a\xC3", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xC0\x80"}) {
    EXPECT_EQ(t->Encode(text, true).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(TokenizerTest, LongRunsOfOneLetterAreQuick) {
  const auto t = SmallTokenizer();
  for (const char c : {'a', ' ', '1', '\n', '.', 'q'}) {
    const std::vector<int32_t> ids = Encode(*t, std::string(300000, c));
    size_t bytes = 0;
    for (const int32_t id : ids) bytes += t->TokenBytes(id).size();
    EXPECT_EQ(bytes, 300000U) << c;
  }
  EXPECT_EQ(Encode(*t, std::string(300000, 'a')).size(), 75000U);
}

TEST(TokenizerTest, DropsBytesThatTheVocabularyLacks) {
  Vocabulary v = SmallVocabulary();
  v.types['q'] = TokenType::kUnused;
  const auto t = Tokenizer::Create(std::move(v));
  ASSERT_TRUE(t.ok()) << t.status();
  EXPECT_THAT(Encode(**t, "qaqbq"), ElementsAre(258));
  EXPECT_THAT(Encode(**t, "q"), IsEmpty());
}

// Command R has raw characters beside the tokens of their bytes.
TEST(TokenizerTest, APieceNeverBecomesARawCharacter) {
  Vocabulary v = SmallVocabulary();
  const std::string bytes = CharacterOfByte(0xD0) + " " + CharacterOfByte(0x96);
  v.merges.push_back(bytes);
  for (const std::string& token : {std::string("\u0416"), bytes.substr(0, 2) + bytes.substr(3)}) {
    v.tokens.push_back(token);
    v.types.push_back(TokenType::kNormal);
  }
  const auto t = Tokenizer::Create(std::move(v));
  ASSERT_TRUE(t.ok()) << t.status();
  EXPECT_THAT(Encode(**t, "\u0416"), ElementsAre(267));
  EXPECT_EQ((*t)->Decode(std::vector<int32_t>{266, 267}), "\u0416\u0416");
}

TEST(TokenizerTest, RefusesBadVocabularies) {
  const auto error = [](auto change) {
    Vocabulary v = SmallVocabulary();
    change(&v);
    const auto t = Tokenizer::Create(std::move(v));
    return std::string(t.status().message());
  };
  EXPECT_THAT(error([](Vocabulary* v) { v->merges.push_back("a zz"); }),
              HasSubstr("merges[6]: its right part"));
  EXPECT_THAT(error([](Vocabulary* v) { v->merges.push_back("c c"); }), HasSubstr("its union"));
  EXPECT_THAT(error([](Vocabulary* v) { v->merges.push_back("cc"); }), HasSubstr("merges[6]"));
  EXPECT_THAT(error([](Vocabulary* v) { v->eos_id = 266; }), HasSubstr("eos_token_id=266"));
  EXPECT_THAT(error([](Vocabulary* v) { v->types.pop_back(); }), HasSubstr("265 entries"));
  EXPECT_THAT(error([](Vocabulary* v) { v->model = "rwkv"; }), HasSubstr("rwkv"));
  EXPECT_THAT(error([](Vocabulary* v) { v->pre = "nope"; }),
              HasSubstr("known: gpt-2, default, phi-2"));
}

TEST(TokenizerTest, RefusesBadUnigrams) {
  Vocabulary v;
  v.model = "t5";
  v.tokens = {"<unk>", "a"};
  v.types = {TokenType::kUnknown, TokenType::kNormal};
  const auto error = [](Vocabulary vocabulary) {
    return std::string(Tokenizer::Create(std::move(vocabulary)).status().message());
  };
  EXPECT_THAT(error(v), HasSubstr("scores has 0 entries for 2 tokens"));
  v.scores = {0, -1};
  EXPECT_THAT(error(v), HasSubstr("without an unknown token"));
  v.unk_id = 0;
  EXPECT_EQ(error(v), "");
  v.charsmap = "abc";
  EXPECT_THAT(error(v), HasSubstr("precompiled_charsmap: is too short"));
  v.charsmap.clear();
  for (int i = 0; i < 17000; ++i) {
    v.tokens.push_back(std::to_string(i) + std::string(1000, 'a'));
    v.types.push_back(TokenType::kNormal);
    v.scores.push_back(-2);
  }
  EXPECT_THAT(error(v), HasSubstr("bytes; at most 16777216"));
}

TEST(TokenizerTest, KnowsWhatEndsAnAnswer) {
  const auto t = SmallTokenizer();
  EXPECT_TRUE(t->IsEndOfGeneration(0));
  EXPECT_TRUE(t->IsEndOfGeneration(262));
  EXPECT_FALSE(t->IsEndOfGeneration(263));
  EXPECT_FALSE(t->IsEndOfGeneration(264));
  EXPECT_FALSE(t->IsEndOfGeneration(-1));
  EXPECT_TRUE(t->IsControl(262));
  EXPECT_FALSE(t->IsControl(264));
  EXPECT_FALSE(t->IsControl(1000));
}

TEST(DetokenizerTest, GivesWholeCharactersOnly) {
  const auto t = SmallTokenizer();
  Detokenizer d(t.get());
  EXPECT_EQ(d.Add(0xE2), "");
  EXPECT_EQ(d.Add(0x82), "");
  EXPECT_EQ(d.Add(262), "");  // Control tokens have no text here.
  EXPECT_EQ(d.Add(0xAC), "\u20AC");
  EXPECT_EQ(d.Add(0xE2), "");
  EXPECT_EQ(d.Add('a'), "\uFFFDa");
  EXPECT_EQ(d.Add(0xF0), "");
  EXPECT_EQ(d.Flush(), "\uFFFD");
  EXPECT_EQ(d.Flush(), "");
  Detokenizer special(t.get(), {.keep_special = true});
  EXPECT_EQ(special.Add(262), "<|end|>");
}

// Goal: a stream of any bytes ends in the same text as decoding at once.
TEST(DetokenizerTest, StreamEqualsWhole) {
  const auto t = SmallTokenizer();
  uint32_t state = 17;
  const uint8_t bytes[] = {0x41, 0x80, 0xBF, 0xC3, 0xE2, 0xED, 0xA0, 0xF0, 0x9F, 0xF4, 0x90, 0xFF};
  for (int round = 0; round < 200; ++round) {
    std::vector<int32_t> ids;
    for (int i = 0; i < 40; ++i) {
      state = state * 1664525 + 1013904223;
      ids.push_back(bytes[(state >> 16) % sizeof bytes]);
    }
    Detokenizer d(t.get(), {.keep_special = true});
    std::string text;
    for (const int32_t id : ids) text += d.Add(id);
    text += d.Flush();
    EXPECT_EQ(text, t->Decode(ids));
  }
}

}  // namespace
}  // namespace shoal
