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

// SentencePiece's, with every byte and some words.
Vocabulary PieceVocabulary(const char* model) {
  Vocabulary v;
  v.model = model;
  v.tokens = {"<unk>", "<|a|>", "\u2581", "a",         "aa",    "\u2581a",
              "t",     "th",    "the",    "\u2581the", "\u00e9"};
  v.types.assign(v.tokens.size(), TokenType::kNormal);
  v.types[0] = TokenType::kUnknown;
  v.types[1] = TokenType::kControl;
  for (int byte = 0; byte < 256; ++byte) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    v.tokens.push_back(std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">");
    v.types.push_back(TokenType::kByte);
  }
  for (size_t id = 0; id < v.tokens.size(); ++id)
    v.scores.push_back(-0.1 * static_cast<double>(id));
  v.unk_id = 0;
  v.space_prefix = SpacePrefix::kAlways;
  v.decode_strip = DecodeStrip::kSpace;
  return v;
}

enum Kind { kGpt2, kQwen2, kLlama, kUnigram };

const Tokenizer& TextTokenizer(Kind kind) {
  static const Tokenizer* const tokenizers[] = {
      Tokenizer::Create(TextVocabulary("gpt-2")).value().release(),
      Tokenizer::Create(TextVocabulary("qwen2")).value().release(),
      Tokenizer::Create(PieceVocabulary("llama")).value().release(),
      Tokenizer::Create(PieceVocabulary("t5")).value().release()};
  return *tokenizers[kind];
}

// What decoding what `text` became gives: pieces write a space as U+2581.
std::string Expected(std::string_view text, Kind kind) {
  std::string out(text);
  if (kind == kGpt2) return out;
  for (size_t at = out.find("\u2581"); at != std::string::npos; at = out.find("\u2581", at)) {
    out.replace(at, 3, " ");
  }
  return out;
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

void CheckText(std::string_view text, Kind kind, size_t length) {
  const Tokenizer& t = TextTokenizer(kind);
  const bool valid = FindInvalidUtf8(text) == std::string_view::npos;
  for (const bool parse_special : {false, true}) {
    const auto ids = t.Encode(text, parse_special);
    SHOAL_CHECK_EQ(ids.ok(), valid);
    if (!valid) continue;
    const std::string decoded = t.Decode(*ids);
    // qwen2 composes characters first; pieces give control tokens spaces of their own.
    const bool same = kind == kGpt2 || (kind != kQwen2 && !parse_special);
    if (same) SHOAL_CHECK(decoded == Expected(text, kind));
    Detokenizer stream(&t, {.keep_special = true});
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
void CheckVocabulary(std::string_view text, const char* model) {
  Vocabulary v;
  v.model = model;
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
  v.unk_id = v.tokens.empty() ? -1 : 0;
  for (const std::string& token : v.tokens) {
    v.scores.push_back(-static_cast<double>(token.size() % 5));
  }
  const auto t = Tokenizer::Create(std::move(v));
  if (!t.ok() || FindInvalidUtf8(text) != std::string_view::npos) return;
  const auto ids = (*t)->Encode(text, true);
  SHOAL_CHECK(ids.ok());
  for (const int32_t id : *ids) SHOAL_CHECK(id >= 0 && id < (*t)->vocab_size());
  Detokenizer stream(t->get(), {.keep_special = true});
  std::string streamed;
  for (const int32_t id : *ids) streamed += stream.Add(id);
  SHOAL_CHECK(streamed + stream.Flush() == (*t)->Decode(*ids));
}

}  // namespace
}  // namespace shoal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  constexpr const char* kModels[] = {"gpt2", "llama", "t5"};
  constexpr shoal::Kind kKinds[] = {shoal::kGpt2, shoal::kQwen2, shoal::kLlama,  shoal::kGpt2,
                                    shoal::kGpt2, shoal::kQwen2, shoal::kUnigram};
  if (data[0] % 4 == 3) {
    shoal::CheckVocabulary(text, kModels[data[0] / 4 % 3]);
  } else {
    shoal::CheckText(text, kKinds[data[0] % 8], 1 + data[0] / 8);
  }
  return 0;
}
