#include "model/tokenizer_shard.h"

#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;

TokenizerShard Sample() {
  TokenizerShard shard;
  Vocabulary& v = shard.vocabulary;
  v.model = "gpt2";
  v.pre = "qwen2";
  v.tokens = {"a", "b", "ab", "<|end|>"};
  v.types = {TokenType::kNormal, TokenType::kNormal, TokenType::kNormal, TokenType::kControl};
  v.merges = {"a b"};
  v.bos_id = 0;
  v.eos_id = 3;
  v.add_bos = true;
  v.nfc = true;
  v.ignore_merges = true;
  v.space_prefix = SpacePrefix::kFirstUnlessSpace;
  v.fuse_unk = false;
  v.cut_words = true;
  v.hf_rules = true;
  v.space_runs = SpaceRuns::kWhiteOne;
  v.decode_strip = DecodeStrip::kFirstToken;
  v.charsmap = "map";
  v.scores = {-1.0, -2.5, -0.1, 0.0};
  v.strips = {0, 0, 0, kStripLeft | kStripRight};
  shard.chat_template = "{{ messages }}";
  return shard;
}

std::string Refusal(const TokenizerShard& shard) {
  return std::string(DecodeTokenizerShard(EncodeTokenizerShard(shard)).status().message());
}

TEST(TokenizerShardTest, DecodingUndoesEncoding) {
  const TokenizerShard shard = Sample();
  const auto read = DecodeTokenizerShard(EncodeTokenizerShard(shard));
  ASSERT_TRUE(read.ok()) << read.status();
  const Vocabulary& v = read->vocabulary;
  EXPECT_EQ(v.model, "gpt2");
  EXPECT_EQ(v.pre, "qwen2");
  EXPECT_EQ(v.tokens, shard.vocabulary.tokens);
  EXPECT_EQ(v.types, shard.vocabulary.types);
  EXPECT_EQ(v.merges, shard.vocabulary.merges);
  EXPECT_EQ(v.bos_id, 0);
  EXPECT_EQ(v.eos_id, 3);
  EXPECT_EQ(v.eot_id, -1);
  EXPECT_EQ(v.unk_id, -1);
  EXPECT_EQ(v.pad_id, -1);
  EXPECT_TRUE(v.add_bos);
  EXPECT_TRUE(v.nfc);
  EXPECT_TRUE(v.ignore_merges);
  EXPECT_EQ(v.space_prefix, SpacePrefix::kFirstUnlessSpace);
  EXPECT_FALSE(v.fuse_unk);
  EXPECT_TRUE(v.cut_words);
  EXPECT_TRUE(v.hf_rules);
  EXPECT_EQ(v.space_runs, SpaceRuns::kWhiteOne);
  EXPECT_EQ(v.decode_strip, DecodeStrip::kFirstToken);
  EXPECT_EQ(v.charsmap, "map");
  EXPECT_EQ(v.scores, shard.vocabulary.scores);
  EXPECT_EQ(v.strips, shard.vocabulary.strips);
  EXPECT_EQ(read->chat_template, "{{ messages }}");
}

TEST(TokenizerShardTest, AModelMayHaveNone) {
  const auto read = DecodeTokenizerShard(EncodeTokenizerShard({}));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->vocabulary.tokens.empty());
}

TEST(TokenizerShardTest, EveryCutAndEveryExtraByteIsRefused) {
  const std::string bytes = EncodeTokenizerShard(Sample());
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(DecodeTokenizerShard(bytes.substr(0, n)).ok()) << n;
  }
  EXPECT_FALSE(DecodeTokenizerShard(bytes + '\0').ok());
}

TEST(TokenizerShardTest, BadValuesAreNamed) {
  TokenizerShard shard = Sample();
  shard.vocabulary.types[2] = static_cast<TokenType>(7);
  EXPECT_THAT(Refusal(shard), HasSubstr("token 2 has type 7"));
  shard = Sample();
  shard.vocabulary.merges[0] = "ab";
  EXPECT_THAT(Refusal(shard), HasSubstr("merge 'ab'"));
  shard = Sample();
  shard.vocabulary.eot_id = 4;
  EXPECT_THAT(Refusal(shard), HasSubstr("special token 4 of 4"));
  shard = Sample();
  shard.vocabulary.bos_id = -1;
  EXPECT_THAT(Refusal(shard), HasSubstr("add_bos without a bos token"));
  shard = Sample();
  shard.vocabulary.space_prefix = static_cast<SpacePrefix>(4);
  EXPECT_THAT(Refusal(shard), HasSubstr("space_prefix is 4"));
  shard = Sample();
  shard.vocabulary.space_runs = static_cast<SpaceRuns>(3);
  EXPECT_THAT(Refusal(shard), HasSubstr("space_runs is 3"));
  shard = Sample();
  shard.vocabulary.decode_strip = static_cast<DecodeStrip>(3);
  EXPECT_THAT(Refusal(shard), HasSubstr("decode_strip is 3"));
  shard = Sample();
  shard.vocabulary.scores.pop_back();
  EXPECT_THAT(Refusal(shard), HasSubstr("3 scores for 4 tokens"));
  shard = Sample();
  shard.vocabulary.scores[1] = std::numeric_limits<double>::infinity();
  EXPECT_THAT(Refusal(shard), HasSubstr("score of token 1 is no number"));
  shard = Sample();
  shard.vocabulary.strips[2] = 4;
  EXPECT_THAT(Refusal(shard), HasSubstr("token 2 has strip flags 4"));
}

TEST(TokenizerShardTest, AHugeCountAllocatesNothing) {
  std::string bytes = EncodeTokenizerShard({});
  bytes.replace(20, 4, "\xff\xff\xff\xff");  // The count of tokens.
  EXPECT_FALSE(DecodeTokenizerShard(bytes).ok());
}

}  // namespace
}  // namespace shoal
