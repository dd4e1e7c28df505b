// Real vocabularies against what Hugging Face's tokenizers made of the same texts; where the cases
// come from is told in tests/data/tokenizers/README.md.
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "model/import/gguf_model.h"
#include "model/tokenizer.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

using nlohmann::json;

struct Fixture {
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<json> cases;
};

const Fixture& Qwen3() {
  static const Fixture& fixture = *[] {
    auto* f = new Fixture;
    const auto file = GgufReader::Open(SHOAL_TEST_VOCABULARIES "/qwen3.gguf");
    EXPECT_TRUE(file.ok()) << file.status();
    auto vocabulary = ReadVocabulary(**file);
    EXPECT_TRUE(vocabulary.ok()) << vocabulary.status();
    auto tokenizer = Tokenizer::Create(*std::move(vocabulary));
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
    f->tokenizer = *std::move(tokenizer);
    std::ifstream lines("tests/data/tokenizers/qwen3/cases.jsonl");
    for (std::string line; std::getline(lines, line);) f->cases.push_back(json::parse(line));
    return f;
  }();
  return fixture;
}

// Runs the cases that `wanted` picks; returns how many.
template <typename Wanted>
int CheckEncode(const Fixture& f, Wanted wanted) {
  int n_cases = 0;
  for (const json& c : f.cases) {
    if (c["text"].is_null() || !wanted(c)) continue;
    ++n_cases;
    const auto ids =
        f.tokenizer->Encode(c["text"].get<std::string>(), c.value("parse_special", true));
    EXPECT_TRUE(ids.ok()) << ids.status();
    if (!ids.ok()) continue;
    EXPECT_EQ(*ids, c["ids"].get<std::vector<int32_t>>()) << c.dump();
  }
  return n_cases;
}

TEST(TokenizerFixtureTest, Qwen3Encodes) {
  const auto plain = [](const json& c) { return !c.value("needs_nfc", false); };
  EXPECT_EQ(CheckEncode(Qwen3(), plain), 516);
}

TEST(TokenizerFixtureTest, Qwen3EncodesTextThatIsNotComposed) {
  const auto decomposed = [](const json& c) { return c.value("needs_nfc", false); };
  EXPECT_EQ(CheckEncode(Qwen3(), decomposed), 22);
}

TEST(TokenizerFixtureTest, Qwen3Decodes) {
  int n_cases = 0;
  for (const json& c : Qwen3().cases) {
    const auto ids = c["ids"].get<std::vector<int32_t>>();
    const auto want = c["decoded"].get<std::string>();
    EXPECT_EQ(Qwen3().tokenizer->Decode(ids), want) << c.dump();
    Detokenizer stream(Qwen3().tokenizer.get(), /*keep_special=*/true);
    std::string text;
    for (const int32_t id : ids) text += stream.Add(id);
    text += stream.Flush();
    EXPECT_EQ(text, want) << c.dump();
    ++n_cases;
  }
  EXPECT_EQ(n_cases, 555);
}

// Goal: cutting a text into pieces changes nothing where the pieces are plain alike.
TEST(TokenizerFixtureTest, Qwen3PiecesMergeAsOneText) {
  for (const json& c : Qwen3().cases) {
    if (c["text"].is_null()) continue;
    const auto text = c["text"].get<std::string>();
    const bool literal = !c.value("parse_special", true);
    std::vector<PromptPiece> pieces;
    for (size_t pos = 0; pos < text.size(); pos += 3) {
      pieces.push_back({text.substr(pos, 3), literal});
    }
    const auto ids = Qwen3().tokenizer->EncodePieces(pieces);
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(*ids, c["ids"].get<std::vector<int32_t>>()) << c.dump();
  }
}

TEST(TokenizerFixtureTest, Qwen3EndsOfGeneration) {
  const Tokenizer& t = *Qwen3().tokenizer;
  for (const char* text : {"<|im_end|>", "<|endoftext|>"}) {
    EXPECT_TRUE(t.IsEndOfGeneration(t.Encode(text, true).value().at(0))) << text;
  }
  for (const char* text : {"<|im_start|>", "<think>", "a"}) {
    EXPECT_FALSE(t.IsEndOfGeneration(t.Encode(text, true).value().at(0))) << text;
  }
}

}  // namespace
}  // namespace shoal
