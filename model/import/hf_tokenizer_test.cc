// Small tokenizer.json files: what stands before a text, and how many tokens there are.
#include "model/import/hf_tokenizer.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

constexpr char kByteLevel[] = R"({"type": "ByteLevel", "add_prefix_space": true})";
constexpr char kText[] = R"({"Sequence": {"id": "A", "type_id": 0}})";
constexpr char kBos[] = R"({"SpecialToken": {"id": "<s>", "type_id": 0}})";
constexpr char kEos[] = R"({"SpecialToken": {"id": "</s>", "type_id": 0}})";

std::string Template(const std::vector<std::string>& single) {
  return absl::StrCat(R"({"type": "TemplateProcessing", "single": [)", absl::StrJoin(single, ", "),
                      R"(], "special_tokens": {"<s>": {"id": "<s>", "ids": [3]},
                         "</s>": {"id": "</s>", "ids": [4]}, "<t>": {"id": "<t>", "ids": [99]}}})");
}

std::string Sequence(const std::vector<std::string>& parts) {
  return absl::StrCat(R"({"type": "Sequence", "processors": [)", absl::StrJoin(parts, ", "), "]}");
}

absl::StatusOr<TokenizerShard> Read(const std::string& post_processor,
                                    const std::string& config = R"({"bos_token": "<s>"})",
                                    int n_tokens = 8) {
  return ReadHfTokenizer(absl::StrCat(R"({
      "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
      "decoder": {"type": "ByteLevel"},
      "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]},
      "added_tokens": [{"id": 3, "content": "<s>", "special": true},
                       {"id": 4, "content": "</s>", "special": true}],
      "post_processor": )",
                                      post_processor, "}"),
                         config, n_tokens);
}

TEST(HfPostProcessorTest, ItsTemplateSaysWhetherBosIsAdded) {
  const std::pair<std::string, bool> cases[] = {
      {"null", false},
      {kByteLevel, false},
      {Template({kText}), false},
      {Template({kText, kEos}), false},
      {Template({kBos, kText}), true},
      {Template({kBos, kText, kEos}), true},
      {Sequence({kByteLevel, Template({kBos, kText})}), true},
      {Sequence({kByteLevel}), false},
  };
  for (const auto& [post_processor, add_bos] : cases) {
    for (const std::string flag :
         {"", R"(, "add_bos_token": true)", R"(, "add_bos_token": false)"}) {
      const auto shard = Read(post_processor, R"({"bos_token": "<s>")" + flag + "}");
      ASSERT_TRUE(shard.ok()) << shard.status();
      EXPECT_EQ(shard->vocabulary.add_bos, add_bos) << post_processor << flag;
      EXPECT_EQ(shard->vocabulary.bos_id, 3);
    }
  }
}

TEST(HfPostProcessorTest, NamesTheBosThatNoOtherFileNames) {
  const auto shard = Read(Template({kBos, kText}), "");
  ASSERT_TRUE(shard.ok()) << shard.status();
  EXPECT_EQ(shard->vocabulary.bos_id, 3);
  EXPECT_TRUE(shard->vocabulary.add_bos);
  EXPECT_EQ(Read(Template({kText}), "")->vocabulary.bos_id, -1);
}

TEST(HfPostProcessorTest, WhatIsNotKnownIsRefusedByName) {
  const std::string unknown = R"({"SpecialToken": {"id": "<t>", "type_id": 0}})";
  const std::pair<std::string, const char*> cases[] = {
      {R"({"type": "RobertaProcessing"})", "the post-processor 'RobertaProcessing' is not known"},
      {Template({kBos}), "with the text 0 times"},
      {Template({kText, kText}), "with the text 2 times"},
      {Template({kBos, kEos, kText}), "2 tokens before a text, of which one is '<s>'"},
      {Sequence({Template({kBos, kText}), Template({kBos, kText})}), "2 tokens before a text"},
      {Template({kEos, kText}), "begins texts with '</s>' where bos_token is '<s>'"},
      {Template({unknown, kText}), "token '<t>' has the id '99', not in [0, 8)"},
      {Template({R"({"SpecialToken": {"id": "<u>"}})", kText}), "no ids of its token '<u>'"},
  };
  for (const auto& [post_processor, says] : cases) {
    EXPECT_THAT(std::string(Read(post_processor).status().message()), HasSubstr(says));
  }
}

TEST(HfTokenizerTest, HasAsManyTokensAsTheFileWhereNobodyKnows) {
  EXPECT_EQ(Read("null", "", 0)->vocabulary.tokens.size(), 5U);
  EXPECT_EQ(Read("null", "", 8)->vocabulary.tokens.size(), 8U);
  EXPECT_THAT(std::string(Read("null", "", 4).status().message()), HasSubstr("has the id '4'"));
}

}  // namespace
}  // namespace shoal
