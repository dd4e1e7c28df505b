// Small models that sentencepiece trained, from each of the files they come in, against what
// sentencepiece and Hugging Face's tokenizers make of the same texts. tests/data/sentencepiece has
// the script.
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/charsmap.h"
#include "model/import/gguf_model.h"
#include "model/import/hf_tokenizer.h"
#include "model/import/sentencepiece_model.h"
#include "model/tokenizer.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr int kPieces = 900;  // Of each model.

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string Unpacked(const std::string& name) { return SHOAL_TEST_VOCABULARIES "/" + name; }

std::unique_ptr<Tokenizer> Build(absl::StatusOr<Vocabulary> vocabulary) {
  EXPECT_TRUE(vocabulary.ok()) << vocabulary.status();
  auto tokenizer = Tokenizer::Create(*std::move(vocabulary));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

absl::StatusOr<Vocabulary> VocabularyOf(absl::StatusOr<TokenizerShard> shard) {
  if (!shard.ok()) return shard.status();
  return std::move(shard->vocabulary);
}

class SentencePieceTest : public ::testing::TestWithParam<const char*> {
 protected:
  // Of sentencepiece, or with `prefix` "hf_" of Hugging Face's tokenizers.
  void Check(const Tokenizer& t, const std::string& prefix) {
    std::ifstream lines("tests/data/sentencepiece/" + std::string(GetParam()) + "/cases.jsonl");
    int n_cases = 0;
    for (std::string line; std::getline(lines, line); ++n_cases) {
      const json c = json::parse(line);
      const auto ids = t.Encode(c["text"].get<std::string>(), /*parse_special=*/!prefix.empty());
      ASSERT_TRUE(ids.ok()) << ids.status();
      const auto expected = c[prefix + "ids"].get<std::vector<int32_t>>();
      EXPECT_EQ(*ids, expected) << c["text"];
      const std::string decoded = prefix + "decoded";
      if (c.contains(decoded)) {
        EXPECT_EQ(t.Decode(expected), c[decoded]) << c["text"];
      }
    }
    EXPECT_GT(n_cases, 400);
  }
};

TEST_P(SentencePieceTest, TokenizerModel) {
  const auto t = Build(VocabularyOf(ReadSentencePieceModel(
      ReadFile(Unpacked(GetParam() + std::string(".model"))), "", "", kPieces)));
  Check(*t, "");
}

TEST_P(SentencePieceTest, Gguf) {
  const auto file = GgufReader::Open(Unpacked(GetParam() + std::string(".gguf")));
  ASSERT_TRUE(file.ok()) << file.status();
  Check(*Build(ReadVocabulary(**file)), "");
}

TEST_P(SentencePieceTest, TokenizerJson) {
  if (std::string(GetParam()) == "bpe_bytes") return;  // Mistral's and Phi-3's are such.
  const auto t = Build(VocabularyOf(
      ReadHfTokenizer(ReadFile(Unpacked(GetParam() + std::string(".json"))), "", kPieces)));
  Check(*t, "hf_");
}

INSTANTIATE_TEST_SUITE_P(All, SentencePieceTest,
                         ::testing::Values("bpe_bytes", "unigram_bytes", "unigram_nfkc"),
                         [](const auto& info) { return std::string(info.param); });

// One field of a message: a number, or bytes.
std::string Number(int field, int value) {
  const int tag = field * 8;
  std::string out;
  if (tag > 127) out += static_cast<char>(tag % 128 + 128);
  out += static_cast<char>(tag > 127 ? tag / 128 : tag);
  return out + static_cast<char>(value);
}
std::string Bytes(int field, const std::string& value) {
  return std::string(1, static_cast<char>(field * 8 + 2)) + static_cast<char>(value.size()) + value;
}
std::string Piece(const std::string& text, int type = 1) {
  return Bytes(1, Bytes(1, text) + std::string("\x15\0\0\x80\xBF", 5) + Number(3, type));
}

std::string Error(const std::string& model, const std::string& config = "", int n_tokens = 4) {
  const auto shard = ReadSentencePieceModel(model, config, "", n_tokens);
  return std::string(shard.status().message());
}

TEST(SentencePieceModelTest, BadFilesAreRefusedByName) {
  const std::string sound = Piece("<unk>", 2) + Piece("a");
  EXPECT_EQ(Error(sound), "");
  const std::pair<std::string, const char*> cases[] = {
      {"", "has 0 pieces"},
      {sound + Piece("b") + Piece("c") + Piece("d"), "has 5 pieces, the model 4 tokens"},
      {sound + Piece(""), "piece 2 is empty or not UTF-8"},
      {sound + Piece("\xFF"), "piece 2 is empty or not UTF-8"},
      {sound + Piece("b", 7), "piece 2 has type 7, not in [1, 6]"},
      {sound + Bytes(1, Bytes(1, "b") + std::string("\x15\0\0\x80\x7F", 5)), "is no number"},
      {sound + Bytes(2, Number(3, 3)), "model_type 3"},
      {sound + Bytes(2, Number(24, 1)), "treat_whitespace_as_suffix"},
      {sound + Bytes(3, Number(5, 0)), "escape_whitespaces off"},
      {sound + Bytes(5, Bytes(2, "x")), "a denormalizer"},
      {sound + "\x0A\x7F", "bytes too soon"},
      {sound + "\x0B", "wire type 3"},
      {sound + std::string(11, '\xFF'), "more than ten bytes"},
      {std::string(2, '\0'), "a field without a number"},
  };
  for (const auto& [model, message] : cases) EXPECT_THAT(Error(model), HasSubstr(message));
  EXPECT_THAT(Error(sound, R"({"added_tokens_decoder": {"4": {"content": "x"}}})"),
              HasSubstr("has the id 4, not below 4"));
  EXPECT_THAT(Error(sound, R"({"added_tokens_decoder": {"x": {"content": "x"}}})"),
              HasSubstr("has the id 'x'"));
  EXPECT_THAT(Error(sound, "[]"), HasSubstr("tokenizer_config.json"));
}

TEST(SentencePieceModelTest, EveryCutIsRefusedOrSmaller) {
  const std::string model = ReadFile(Unpacked("bpe_bytes.model"));
  for (size_t n = 0; n < model.size(); n += 7) {
    const auto shard = ReadSentencePieceModel(model.substr(0, n), "", "", kPieces);
    if (shard.ok()) {
      EXPECT_EQ(shard->vocabulary.tokens.size(), static_cast<size_t>(kPieces));
    }
  }
}

TEST(SentencePieceModelTest, TakesAddedTokensAndSettings) {
  const auto shard = ReadSentencePieceModel(
      Piece("<unk>", 2) + Piece("<s>", 3) + Piece("</s>", 3) + Bytes(2, Number(3, 2)),
      R"({"legacy": false, "add_bos_token": false, "bos_token": "<s>", "chat_template": "x",
          "added_tokens_decoder": {"3": {"content": "<t>", "rstrip": true},
                                   "4": {"content": "<|e|>"}}})",
      R"({"<a>": 5})", 7);
  ASSERT_TRUE(shard.ok()) << shard.status();
  const Vocabulary& v = shard->vocabulary;
  EXPECT_EQ(v.model, "llama");
  EXPECT_EQ(v.space_prefix, SpacePrefix::kFirstUnlessSpace);
  EXPECT_FALSE(v.add_bos);
  EXPECT_EQ(v.bos_id, 1);
  EXPECT_EQ(v.eos_id, 2);
  EXPECT_EQ(v.unk_id, 0);
  EXPECT_EQ(v.types[3], TokenType::kUserDefined);
  EXPECT_EQ(v.strips[3], kStripRight);
  EXPECT_EQ(v.types[4], TokenType::kControl);  // By its looks.
  EXPECT_EQ(v.types[5], TokenType::kControl);
  EXPECT_EQ(v.types[6], TokenType::kUnused);
  EXPECT_EQ(shard->chat_template, "x");
}

std::string Units(std::initializer_list<uint32_t> units) {
  std::string out;
  for (uint32_t each : {static_cast<uint32_t>(units.size() * 4)}) {
    for (int i = 0; i < 4; ++i) out += static_cast<char>(each >> 8 * i);
  }
  for (const uint32_t each : units) {
    for (int i = 0; i < 4; ++i) out += static_cast<char>(each >> 8 * i);
  }
  return out;
}

TEST(CharsmapTest, BadBytesAreRefusedOrChangeNothing) {
  const auto error = [](const std::string& blob) {
    return std::string(Charsmap::Parse(blob).status().message());
  };
  EXPECT_EQ(error(""), "");
  EXPECT_THAT(error("abc"), HasSubstr("is too short"));
  EXPECT_THAT(error(Units({0}).substr(0, 7)), HasSubstr("is not whole"));
  EXPECT_THAT(error(Units({0})), HasSubstr("its texts do not end"));
  EXPECT_THAT(error(Units({0}) + "a"), HasSubstr("its texts do not end"));
  EXPECT_THAT(error(Units({0}) + std::string("\xFF\0", 2)), HasSubstr("are not UTF-8"));
  EXPECT_THAT(error(Units({0}) + std::string(300, 'a') + '\0'), HasSubstr("a text of 300 bytes"));
  // A trie whose every unit leads on, or beyond its end.
  for (const uint32_t unit : {0x7FFFFFFFU, 0xFFFFFFFFU, 0x161U, 0x361U, 0x40000161U}) {
    const auto map = Charsmap::Parse(Units({unit, unit, unit, unit}) + std::string("x\0", 2));
    ASSERT_TRUE(map.ok()) << map.status();
    for (const bool clusters : {false, true}) map->Map("abc\u00e9", clusters);
  }
}

}  // namespace
}  // namespace shoal
