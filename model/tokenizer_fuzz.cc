// Any bytes, as a text or as a vocabulary. What is UTF-8 must survive encoding and decoding whole,
// in one piece or in many; literal text gives no control token; nothing else may do harm.
// Seeds: tests/data/fuzz/tokenizer.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "model/byte_pairs.h"
#include "model/tokenizer.h"
#include "model/utf8.h"

namespace shoal {
namespace {

// Every byte, some merges, some special tokens.
Vocabulary TextVocabulary(const char* pre) {
  Vocabulary v;
  v.model = "gpt2";
  v.pre = pre;
  v.nfc = v.pre == "qwen2";
  for (char32_t c = 0x21; c < 0x144; ++c) {
    std::string token;
    AppendUtf8(c, &token);
    if (BytesOfToken(token, TokenType::kNormal).size() == 1) v.tokens.push_back(token);
  }
  for (const char* pair :
       {"a a", "aa aa", "aa a", "t h", "th e", "e r", "\u0120 t", "\u0120 the"}) {
    v.merges.push_back(pair);
    std::string both(pair);
    both.erase(both.find(' '), 1);
    v.tokens.push_back(both);
  }
  v.types.assign(v.tokens.size(), TokenType::kNormal);
  for (const char* special : {"<|a|>", "<|a|>>", "<|ab|>", "<"}) {
    v.tokens.push_back(special);
    v.types.push_back(TokenType::kControl);
  }
  v.tokens.push_back("<think>");
  v.types.push_back(TokenType::kUserDefined);
  return v;
}

const Tokenizer& TextTokenizer(bool qwen2) {
  static const Tokenizer* const tokenizers[] = {
      Tokenizer::Create(TextVocabulary("gpt-2")).value().release(),
      Tokenizer::Create(TextVocabulary("qwen2")).value().release()};
  return *tokenizers[qwen2];
}

// `text` cut into pieces of `length` bytes, or as near as characters allow.
std::vector<PromptPiece> Cut(std::string_view text, size_t length, bool literal) {
  std::vector<PromptPiece> pieces;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(begin + length, text.size());
    while (end < text.size() && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) ++end;
    pieces.push_back({std::string(text.substr(begin, end - begin)), literal});
    begin = end;
  }
  return pieces;
}

void CheckText(std::string_view text, bool qwen2, size_t length) {
  const Tokenizer& t = TextTokenizer(qwen2);
  const bool valid = FindInvalidUtf8(text) == std::string_view::npos;
  for (const bool parse_special : {false, true}) {
    const auto ids = t.Encode(text, parse_special);
    SHOAL_CHECK_EQ(ids.ok(), valid);
    if (!valid) continue;
    const std::string decoded = t.Decode(*ids);
    if (!qwen2) SHOAL_CHECK(decoded == text);  // qwen2 composes characters first.
    Detokenizer stream(&t, /*keep_special=*/true);
    std::string streamed;
    for (const int32_t id : *ids) {
      SHOAL_CHECK(parse_special || !t.IsControl(id));
      streamed += stream.Add(id);
    }
    SHOAL_CHECK(streamed + stream.Flush() == decoded);
    const auto pieces = t.EncodePieces(Cut(text, length, !parse_special));
    SHOAL_CHECK(pieces.ok() && *pieces == *ids);
  }
}

// Lines of `text` as tokens and merges.
void CheckVocabulary(std::string_view text) {
  Vocabulary v;
  v.model = "gpt2";
  v.pre = "gpt-2";
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line(text.substr(begin, end - begin));
    begin = end + 1;
    if (line.find(' ') != std::string::npos) {
      v.merges.push_back(line);
    } else {
      v.types.push_back(TokenType(1 + line.size() % 6));
      v.tokens.push_back(line);
    }
  }
  const auto t = Tokenizer::Create(std::move(v));
  if (!t.ok() || FindInvalidUtf8(text) != std::string_view::npos) return;
  const auto ids = (*t)->Encode(text, true);
  SHOAL_CHECK(ids.ok());
  SHOAL_CHECK_LE((*t)->Decode(*ids).size(), 3 * text.size());
}

}  // namespace
}  // namespace shoal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 4 == 3) {
    shoal::CheckVocabulary(text);
  } else {
    shoal::CheckText(text, data[0] % 2 == 1, 1 + data[0] / 4);
  }
  return 0;
}
