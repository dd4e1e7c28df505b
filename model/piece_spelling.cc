#include "model/piece_spelling.h"

#include <cstdint>

#include "base/status_macros.h"
#include "model/byte_pairs.h"
#include "model/utf8.h"

namespace shoal {
namespace {

// Runs of spaces, or of any white space, as one; none at the end.
std::string WithoutRuns(std::string_view text, bool any_white) {
  std::string out;
  out.reserve(text.size());
  for (size_t pos = 0; pos < text.size();) {
    const Utf8Step step = ReadUtf8(text, pos);
    const bool space = any_white ? IsWhiteSpace(step.code_point) : step.code_point == ' ';
    if (!space) {
      out.append(text, pos, step.length);
    } else if (out.empty() || out.back() != ' ') {
      out.push_back(' ');
    }
    pos += step.length;
  }
  return out;
}

}  // namespace

bool IsWhiteSpace(char32_t c) {
  return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

std::string_view WithoutSpaceAtStart(std::string_view text) {
  while (!text.empty()) {
    const Utf8Step step = ReadUtf8(text, 0);
    if (!IsWhiteSpace(step.code_point)) break;
    text.remove_prefix(step.length);
  }
  return text;
}

std::string_view WithoutSpaceAtEnd(std::string_view text) {
  while (!text.empty()) {
    size_t pos = text.size() - 1;
    while (pos > 0 && (static_cast<uint8_t>(text[pos]) & 0xC0) == 0x80) --pos;
    if (!IsWhiteSpace(ReadUtf8(text, pos).code_point)) break;
    text.remove_suffix(text.size() - pos);
  }
  return text;
}

std::string BytesOfPiece(std::string_view text, TokenType type) {
  if (type == TokenType::kByte && ByteOfPiece(text) >= 0) {
    return std::string(1, static_cast<char>(ByteOfPiece(text)));
  }
  std::string out;
  for (size_t pos = 0; pos < text.size();) {
    const bool mark = text.substr(pos).starts_with(kSpaceMark);
    out += mark ? ' ' : text[pos];
    pos += mark ? kSpaceMark.size() : 1;
  }
  return out;
}

bool FallsIntoWords(const Vocabulary& vocabulary) {
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.types[id] != TokenType::kNormal) continue;
    std::string_view text = vocabulary.tokens[id];
    while (text.starts_with(kSpaceMark)) text.remove_prefix(kSpaceMark.size());
    if (text.find(kSpaceMark) != std::string_view::npos) return false;
  }
  return true;
}

absl::StatusOr<PieceSpelling> PieceSpelling::Create(const Vocabulary& vocabulary) {
  PieceSpelling spelling;
  SHOAL_ASSIGN_OR_RETURN(spelling.map_, Charsmap::Parse(vocabulary.charsmap));
  spelling.hf_rules_ = vocabulary.hf_rules;
  spelling.prefix_ = vocabulary.space_prefix;
  spelling.runs_ = vocabulary.space_runs;
  return spelling;
}

std::string PieceSpelling::Spell(std::string_view text, bool first) const {
  std::string mapped;
  if (!map_.empty()) text = mapped = map_.Map(text, hf_rules_);
  std::string joined;
  if (runs_ != SpaceRuns::kKept) {
    const bool any_white = runs_ == SpaceRuns::kWhiteOne;
    if (hf_rules_) text = WithoutSpaceAtEnd(text);
    text = joined = WithoutRuns(text, any_white);
    const bool strips = !hf_rules_ || any_white;  // Otherwise the first space is the prefix.
    if (strips && text.starts_with(' ')) text.remove_prefix(1);
    while (!hf_rules_ && (text.ends_with(' ') || text.ends_with(kSpaceMark))) {
      text.remove_suffix(text.ends_with(' ') ? 1 : kSpaceMark.size());
    }
    if (any_white && text.ends_with(' ')) text.remove_suffix(1);
  }
  std::string out;
  if (text.empty()) return out;
  const bool begins_with_space = text[0] == ' ' || text.starts_with(kSpaceMark);
  const bool prefix = prefix_ == SpacePrefix::kAlways ||
                      (prefix_ == SpacePrefix::kUnlessSpace && !begins_with_space) ||
                      (prefix_ == SpacePrefix::kFirstUnlessSpace && first && !begins_with_space);
  out.reserve(text.size() + text.size() / 2);
  if (prefix) out = kSpaceMark;
  for (size_t pos = 0; pos < text.size();) {
    const size_t space = std::min(text.find(' ', pos), text.size());
    out.append(text, pos, space - pos);
    if (space < text.size()) out.append(kSpaceMark);
    pos = space + 1;
  }
  return out;
}

}  // namespace shoal
