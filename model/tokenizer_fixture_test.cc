// Real vocabularies against what Hugging Face's tokenizers made of the same texts; where the cases
// come from is told in tests/data/tokenizers/README.md.
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/import/gguf_model.h"
#include "model/import/hf_tokenizer.h"
#include "model/tokenizer.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

using nlohmann::json;

const char* const kNames[] = {"deepseek_v3", "gptoss", "llama3", "mistral",
                              "phi3",        "qwen3",  "smollm2"};

std::unique_ptr<Tokenizer> FromGguf(const std::string& name) {
  const auto file = GgufReader::Open(SHOAL_TEST_VOCABULARIES "/" + name + ".gguf");
  EXPECT_TRUE(file.ok()) << file.status();
  auto vocabulary = ReadVocabulary(**file);
  EXPECT_TRUE(vocabulary.ok()) << vocabulary.status();
  auto tokenizer = Tokenizer::Create(*std::move(vocabulary));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

std::vector<json> Cases(const std::string& name) {
  std::vector<json> cases;
  std::ifstream lines("tests/data/tokenizers/" + name + "/cases.jsonl");
  for (std::string line; std::getline(lines, line);) cases.push_back(json::parse(line));
  EXPECT_GE(cases.size(), 525U);  // Each model has that many.
  return cases;
}

void CheckEncode(const Tokenizer& t, const std::vector<json>& cases) {
  for (const json& c : cases) {
    if (c["text"].is_null()) continue;
    const auto ids = t.Encode(c["text"].get<std::string>(), c.value("parse_special", true));
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(*ids, c["ids"].get<std::vector<int32_t>>()) << c.dump();
  }
}

void CheckDecode(const Tokenizer& t, const std::vector<json>& cases) {
  for (const json& c : cases) {
    const auto ids = c["ids"].get<std::vector<int32_t>>();
    EXPECT_EQ(t.Decode(ids), c["decoded"].get<std::string>()) << c.dump();
  }
}

// Goal: cutting a text into pieces changes nothing where the pieces are plain alike.
void CheckPieces(const Tokenizer& t, const std::vector<json>& cases) {
  for (const json& c : cases) {
    if (c["text"].is_null()) continue;
    const auto text = c["text"].get<std::string>();
    const bool literal = !c.value("parse_special", true);
    std::vector<PromptPiece> pieces;
    for (size_t pos = 0; pos < text.size(); pos += 3) {
      pieces.push_back({text.substr(pos, 3), literal});
    }
    const auto ids = t.EncodePieces(pieces);
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(*ids, c["ids"].get<std::vector<int32_t>>()) << c.dump();
  }
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

// The same cases from tokenizer.json, but those that ask for the types a GGUF file changes.
TEST(HfTokenizerFixtureTest, TokenizerJson) {
  for (const auto& [name, size] : {std::pair("mistral", 32000), std::pair("smollm2", 49152)}) {
    auto shard =
        ReadHfTokenizer(ReadFile(std::string(SHOAL_TEST_VOCABULARIES "/") + name + ".json"),
                        R"({"bos_token": "<s>"})", size);
    ASSERT_TRUE(shard.ok()) << shard.status();
    const auto tokenizer = Tokenizer::Create(std::move(shard->vocabulary));
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    CheckEncode(**tokenizer, Cases(name));
    CheckDecode(**tokenizer, Cases(name));
  }
}

std::string HfError(const json& change) {
  json file = json::parse(R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
      "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}})");
  file.merge_patch(change);
  return std::string(ReadHfTokenizer(file.dump(), "", 4).status().message());
}

TEST(HfTokenizerTest, RefusesByName) {
  EXPECT_EQ(HfError(json::object()), "");
  const std::pair<const char*, const char*> cases[] = {
      {R"({"model": {"type": "WordPiece"}})", "a model of type 'WordPiece'"},
      {R"({"model": {"type": "Unigram"}})", "a byte-level Unigram"},
      {R"({"model": {"end_of_word_suffix": "</w>"}})", "model.end_of_word_suffix"},
      {R"({"model": {"vocab": {"c": 4}}})", "not in [0, 4)"},
      {R"({"model": {"vocab": {"c": 0}}})", "two tokens have the id 0"},
      {R"({"model": {"merges": ["ab"]}})", "is not two tokens"},
      {R"({"normalizer": {"type": "Lowercase"}})", "Lowercase"},
      {R"({"normalizer": {"type": "Prepend", "prepend": "\u2581"}})", "with ByteLevel"},
      {R"({"normalizer": {"type": "Strip", "strip_right": true}})", "Strip without a Replace"},
      {R"({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "%"}})", "Base64"},
      {R"({"pre_tokenizer": {"type": "Whitespace"}})", "Whitespace"},
      {R"({"pre_tokenizer": {"type": "WhitespaceSplit"}})", "neither byte-level nor"},
      {R"({"pre_tokenizer": {"type": "ByteLevel", "use_regex": false}})", "of the expressions"},
      {R"({"decoder": {"type": "WordPiece"}})", "the decoder"},
      {R"({"decoder": {"type": "Strip", "content": " ", "start": 1, "stop": 0}})", "the decoder"},
      {R"({"added_tokens": [{"id": 2, "content": "c", "single_word": true}]})",
       "single_word of 'c'"},
  };
  for (const auto& [change, message] : cases) {
    EXPECT_THAT(HfError(json::parse(change)), ::testing::HasSubstr(message)) << change;
  }
  EXPECT_FALSE(ReadHfTokenizer(std::string(100000, '['), "", 4).ok());
}

std::string UnigramError(const char* change) {
  json file = json::parse(R"({"model": {"type": "Unigram", "unk_id": 0, "vocab": [["?", 0]]},
      "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first"}})");
  file.merge_patch(json::parse(change));
  return std::string(ReadHfTokenizer(file.dump(), "", 2).status().message());
}

TEST(HfTokenizerTest, UnigramsAreCheckedToo) {
  EXPECT_EQ(UnigramError("{}"), "");
  const std::pair<const char*, const char*> cases[] = {
      {R"({"model": {"unk_id": 1}})", "model.unk_id '1'"},
      {R"({"model": {"unk_id": null}})", "model.unk_id"},
      {R"({"model": {"vocab": {"?": 0}}})", "model.vocab is no array"},
      {R"({"model": {"vocab": [["?"]]}})", "model.vocab[0] is no text"},
      {R"({"model": {"vocab": [["?", 0], ["a", 0], ["b", 0]]}})", "not in [0, 2)"},
      {R"({"pre_tokenizer": {"prepend_scheme": "last"}})", "prepend_scheme 'last'"},
      {R"({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"},
          {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first"}]}})",
       "WhitespaceSplit without"},
  };
  for (const auto& [change, message] : cases) {
    EXPECT_THAT(UnigramError(change), ::testing::HasSubstr(message)) << change;
  }
}

class TokenizerFixtureTest : public ::testing::TestWithParam<const char*> {};

TEST_P(TokenizerFixtureTest, Gguf) {
  const auto tokenizer = FromGguf(GetParam());
  const std::vector<json> cases = Cases(GetParam());
  CheckEncode(*tokenizer, cases);
  CheckDecode(*tokenizer, cases);
  CheckPieces(*tokenizer, cases);
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerFixtureTest, ::testing::ValuesIn(kNames),
                         [](const auto& info) { return std::string(info.param); });

TEST(TokenizerEndTest, EndsOfGeneration) {
  const auto t = FromGguf("qwen3");
  for (const char* text : {"<|im_end|>", "<|endoftext|>"}) {
    EXPECT_TRUE(t->IsEndOfGeneration(t->Encode(text, true).value().at(0))) << text;
  }
  for (const char* text : {"<|im_start|>", "<think>", "a"}) {
    EXPECT_FALSE(t->IsEndOfGeneration(t->Encode(text, true).value().at(0))) << text;
  }
}

// Goal: a run of one letter, the worst case for merging, costs little more than its length.
TEST(TokenizerEndTest, ARunOfOneLetterIsNotQuadratic) {
  for (const char* name : kNames) {
    const auto t = FromGguf(name);
    const std::string text(1000000, 'a');
    const auto ids = t->Encode(text, true);
    ASSERT_TRUE(ids.ok()) << name << ": " << ids.status();
    EXPECT_EQ(t->Decode(*ids), text) << name;
  }
}

}  // namespace
}  // namespace shoal
