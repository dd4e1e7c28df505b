#include "router/generation.h"

#include <memory>

#include "base/limits.h"
#include "gtest/gtest.h"

namespace shoal {
namespace {

// Ids 0 to 255 are the bytes in the order of byte-level BPE's alphabet; 256 ends an answer.
constexpr int32_t kEos = 256;

std::string Utf8(int code) {
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

std::unique_ptr<Tokenizer> ByteTokenizer() {
  Vocabulary vocabulary;
  vocabulary.model = "gpt2";
  vocabulary.pre = "gpt-2";
  int n_moved = 0;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
    vocabulary.tokens.push_back(Utf8(printable ? byte : 256 + n_moved++));
    vocabulary.types.push_back(TokenType::kNormal);
  }
  vocabulary.tokens.push_back("<|end|>");
  vocabulary.types.push_back(TokenType::kControl);
  vocabulary.eos_id = kEos;
  auto tokenizer = Tokenizer::Create(std::move(vocabulary));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

class GenerationTest : public testing::Test {
 protected:
  Generation::Params Params() {
    return {.prompt_ids = {1}, .max_tokens = 100, .sampling = {}, .stop = {}, .ignore_eos = false};
  }
  std::unique_ptr<Generation> Make(Generation::Params params) {
    return std::make_unique<Generation>(std::move(params), tokenizer_.get(),
                                        [this] { ++n_wakes_; });
  }
  // Gives the bytes of `text` one id each; false once the answer has ended.
  static bool Accept(Generation* generation, std::string_view text) {
    for (const char c : text) {
      if (!generation->Accept(static_cast<uint8_t>(c))) return false;
    }
    return true;
  }

  const std::unique_ptr<Tokenizer> tokenizer_ = ByteTokenizer();
  int n_wakes_ = 0;
};

// Goal: a completion goes on where the prompt ended, space and all; an answer is a text of its own.
TEST_F(GenerationTest, AContinuationKeepsItsFirstSpace) {
  Vocabulary vocabulary;
  vocabulary.model = "llama";
  vocabulary.tokens = {"<unk>", "\u2581a"};
  vocabulary.types = {TokenType::kUnknown, TokenType::kNormal};
  vocabulary.scores = {0, -1};
  vocabulary.unk_id = 0;
  vocabulary.space_prefix = SpacePrefix::kAlways;
  vocabulary.decode_strip = DecodeStrip::kSpace;
  const auto pieces = Tokenizer::Create(std::move(vocabulary));
  ASSERT_TRUE(pieces.ok()) << pieces.status();
  for (const bool continues : {false, true}) {
    Generation::Params params = Params();
    params.continues_text = continues;
    Generation generation(std::move(params), pieces->get(), [] {});
    generation.Accept(1);
    generation.Accept(1);
    EXPECT_EQ(generation.Take().text, continues ? " a a" : "a a");
  }
}

TEST_F(GenerationTest, GivesTextAsItComes) {
  const auto generation = Make(Params());
  EXPECT_TRUE(Accept(generation.get(), "ab"));
  EXPECT_EQ(generation->Take().text, "ab");
  EXPECT_TRUE(Accept(generation.get(), "c"));
  const auto progress = generation->Take();
  EXPECT_EQ(progress.text, "c");
  EXPECT_EQ(progress.n_tokens, 3);
  EXPECT_FALSE(progress.finished);
}

TEST_F(GenerationTest, CharactersStayWhole) {
  const auto generation = Make(Params());
  Accept(generation.get(), "\xC3");
  EXPECT_EQ(generation->Take().text, "");
  Accept(generation.get(), "\xA9");
  EXPECT_EQ(generation->Take().text, "\xC3\xA9");
}

TEST_F(GenerationTest, EndsAtEndOfGenerationUnlessToldToIgnoreIt) {
  const auto generation = Make(Params());
  EXPECT_FALSE(generation->Accept(kEos));
  const auto progress = generation->Take();
  EXPECT_TRUE(progress.finished);
  EXPECT_EQ(progress.reason, FinishReason::kStop);
  EXPECT_EQ(progress.n_tokens, 1);

  Generation::Params params = Params();
  params.ignore_eos = true;
  const auto unending = Make(params);
  EXPECT_TRUE(unending->Accept(kEos));
  EXPECT_TRUE(Accept(unending.get(), "x"));
  EXPECT_EQ(unending->Take().text, "x");
}

TEST_F(GenerationTest, EndsAtMaxTokensAndShowsWhatWasHeldBack) {
  Generation::Params params = Params();
  params.max_tokens = 3;
  params.stop = {"bcd"};
  const auto generation = Make(params);
  EXPECT_FALSE(Accept(generation.get(), "abcd"));
  const auto progress = generation->Take();
  EXPECT_EQ(progress.text, "abc");
  EXPECT_EQ(progress.reason, FinishReason::kLength);
}

TEST_F(GenerationTest, EndsBeforeAStopStringAcrossTokens) {
  Generation::Params params = Params();
  params.stop = {"bcd"};
  const auto generation = Make(params);
  EXPECT_TRUE(Accept(generation.get(), "abc"));
  EXPECT_EQ(generation->Take().text, "a");
  EXPECT_FALSE(Accept(generation.get(), "d"));
  const auto progress = generation->Take();
  EXPECT_EQ(progress.text, "");
  EXPECT_EQ(progress.reason, FinishReason::kStop);
}

TEST_F(GenerationTest, I2_AnErrorAfterTheEndChangesNothing) {
  const auto generation = Make(Params());
  generation->Accept(kEos);
  generation->Fail(absl::InternalError("late"));
  EXPECT_TRUE(generation->Take().status.ok());
}

TEST_F(GenerationTest, TellsTheReaderAlsoOfWhatCameBefore) {
  const auto generation = Make(Params());
  int n_calls = 0;
  Accept(generation.get(), "a");
  generation->SetOnProgress([&n_calls] { ++n_calls; });
  EXPECT_EQ(n_calls, 1);
  Accept(generation.get(), "b");
  EXPECT_EQ(n_calls, 2);
  generation->SetOnProgress(nullptr);
  generation->Fail(absl::InternalError("x"));
  EXPECT_EQ(n_calls, 2);
}

TEST_F(GenerationTest, F26_IsBlockedWhileItsReaderIsBehind) {
  Generation::Params params = Params();
  params.max_tokens = 1 << 20;
  const auto generation = Make(params);
  Accept(generation.get(), std::string(kMaxStreamBufferBytes - 1, 'a'));
  EXPECT_FALSE(generation->blocked());
  Accept(generation.get(), "a");
  EXPECT_TRUE(generation->blocked());
  EXPECT_EQ(generation->Take().text.size(), kMaxStreamBufferBytes);
  EXPECT_FALSE(generation->blocked());
  EXPECT_EQ(n_wakes_, 1);
}

TEST_F(GenerationTest, CancelWakesTheBatcher) {
  const auto generation = Make(Params());
  generation->Cancel();
  EXPECT_TRUE(generation->cancelled());
  EXPECT_EQ(n_wakes_, 1);
}

}  // namespace
}  // namespace shoal
