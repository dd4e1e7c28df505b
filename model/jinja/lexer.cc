#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/jinja/token.h"
#include "model/utf8.h"

namespace shoal::jinja {
namespace {

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

std::string NormalizeLineEnds(std::string_view source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out.push_back('\n');
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out.push_back(source[i]);
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(NormalizeLineEnds(source)) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (pos_ < source_.size()) SHOAL_RETURN_IF_ERROR(NextRegion());
    Add(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  absl::Status Error(std::string reason) const {
    return absl::InvalidArgumentError(absl::StrCat("line ", line_, ": ", reason));
  }

  void Add(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  char At(size_t pos) const { return pos < source_.size() ? source_[pos] : '\0'; }
  bool StartsWith(std::string_view text) const {
    return source_.compare(pos_, text.size(), text) == 0;
  }

  void Advance(size_t end) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(pos_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
    pos_ = end;
  }

  // Where the next tag opens, from `from` on.
  size_t FindTag(size_t from) const {
    for (size_t i = from; i + 1 < source_.size(); ++i) {
      const char next = source_[i + 1];
      if (source_[i] == '{' && (next == '{' || next == '%' || next == '#')) return i;
    }
    return source_.size();
  }

  // Emits data up to `end`, where a tag opens whose sign is `sign` ('-', '+' or another).
  void AddData(size_t end, char sign, bool strip_blanks) {
    size_t keep = end;
    if (sign == '-') {
      while (keep > pos_ && IsSpace(source_[keep - 1])) --keep;
    } else if (sign != '+' && strip_blanks) {
      size_t blanks = end;
      while (blanks > pos_ && source_[blanks - 1] != '\n' && IsSpace(source_[blanks - 1])) --blanks;
      const bool line_start = blanks > pos_ ? source_[blanks - 1] == '\n' : at_line_start_;
      if (line_start) keep = blanks;
    }
    if (keep > pos_) Add(TokenKind::kData, source_.substr(pos_, keep - pos_));
    Advance(end);
  }

  // Consumes what follows a closing tag of width `width`, whose sign is at `pos_`.
  void CloseTag(char sign, size_t end, bool trim_line) {
    if (sign == '-') {
      while (end < source_.size() && IsSpace(source_[end])) ++end;
    } else if (sign != '+' && trim_line && At(end) == '\n') {
      ++end;
    }
    Advance(end);
    at_line_start_ = pos_ > 0 && source_[pos_ - 1] == '\n';
  }

  absl::Status NextRegion() {
    const size_t tag = FindTag(pos_);
    if (tag == source_.size()) {
      AddData(tag, '+', false);
      return absl::OkStatus();
    }
    const char kind = source_[tag + 1];
    const char sign = At(tag + 2);
    AddData(tag, sign, kind != '{');
    const size_t begin = tag + 2 + (sign == '-' || sign == '+' ? 1 : 0);
    if (kind == '#') return SkipComment(begin);
    if (kind == '%') {
      const size_t raw_end = MatchTagName(begin, "raw");
      if (raw_end != 0) return ReadRaw(raw_end);
    }
    Add(kind == '{' ? TokenKind::kPrintBegin : TokenKind::kBlockBegin, "");
    Advance(begin);
    return ReadTag(kind == '{' ? '}' : '%');
  }

  absl::Status SkipComment(size_t begin) {
    const size_t close = source_.find("#}", begin);
    if (close == std::string::npos) return Error("comment is not closed with #}");
    CloseTag(close > begin ? source_[close - 1] : '\0', close + 2, true);
    return absl::OkStatus();
  }

  // The end of `name %}` if that is what stands at `pos`, up to but without the sign; else 0.
  size_t MatchTagName(size_t pos, std::string_view name) const {
    while (IsSpace(At(pos))) ++pos;
    if (source_.compare(pos, name.size(), name) != 0) return 0;
    pos += name.size();
    while (IsSpace(At(pos))) ++pos;
    const size_t sign = At(pos) == '-' || At(pos) == '+' ? 1 : 0;
    return source_.compare(pos + sign, 2, "%}") == 0 ? pos : 0;
  }

  absl::Status ReadRaw(size_t sign_pos) {
    const char open_sign = source_[sign_pos];
    if (open_sign == '+') return Error("{% raw +%} is not known");
    CloseTag(open_sign, sign_pos + (open_sign == '-' ? 3 : 2), false);
    for (size_t tag = source_.find("{%", pos_); tag != std::string::npos;
         tag = source_.find("{%", tag + 2)) {
      const char sign = At(tag + 2);
      const size_t name = tag + 2 + (sign == '-' || sign == '+' ? 1 : 0);
      const size_t end = MatchTagName(name, "endraw");
      if (end == 0) continue;
      AddData(tag, sign, true);
      const char close_sign = source_[end];
      CloseTag(close_sign, end + (close_sign == '%' ? 2 : 3), true);
      return absl::OkStatus();
    }
    return Error("{% raw %} is not closed with {% endraw %}");
  }

  // Tokens inside a tag, up to and with its end: "%}" or "}}".
  absl::Status ReadTag(char closer) {
    const int opened = line_;
    std::string brackets;
    while (pos_ < source_.size()) {
      const char c = source_[pos_];
      if (IsSpace(c)) {
        Advance(pos_ + 1);
        continue;
      }
      if (brackets.empty()) {
        const size_t sign = c == '-' || (c == '+' && closer == '%') ? 1 : 0;
        if (At(pos_ + sign) == closer && At(pos_ + sign + 1) == '}') {
          Add(closer == '}' ? TokenKind::kPrintEnd : TokenKind::kBlockEnd, "");
          CloseTag(sign ? c : '\0', pos_ + sign + 2, closer == '%');
          return absl::OkStatus();
        }
      }
      SHOAL_RETURN_IF_ERROR(ReadToken(&brackets));
    }
    line_ = opened;
    return Error(closer == '}' ? "{{ is not closed with }}" : "{% is not closed with %}");
  }

  absl::Status ReadToken(std::string* brackets) {
    const char c = source_[pos_];
    if (c == '"' || c == '\'') return ReadString(c);
    if (IsDigit(c)) return ReadNumber();
    if (IsNameStart(c)) {
      size_t end = pos_;
      while (IsNameStart(At(end)) || IsDigit(At(end))) ++end;
      Add(TokenKind::kName, source_.substr(pos_, end - pos_));
      Advance(end);
      return absl::OkStatus();
    }
    for (const char* two : {"**", "//", "==", "!=", "<=", ">="}) {
      if (StartsWith(two)) return AddOperator(two);
    }
    if (std::string_view("+-*/%~<>=.,:|()[]{}").find(c) == std::string_view::npos) {
      return Error(absl::StrCat("unexpected character in a tag, byte ",
                                static_cast<int>(static_cast<uint8_t>(c))));
    }
    SHOAL_RETURN_IF_ERROR(Balance(c, brackets));
    return AddOperator(std::string(1, c));
  }

  absl::Status AddOperator(const std::string& text) {
    Add(TokenKind::kOperator, text);
    Advance(pos_ + text.size());
    return absl::OkStatus();
  }

  absl::Status Balance(char c, std::string* brackets) const {
    if (c == '(') brackets->push_back(')');
    if (c == '[') brackets->push_back(']');
    if (c == '{') brackets->push_back('}');
    if (c != ')' && c != ']' && c != '}') return absl::OkStatus();
    if (brackets->empty() || brackets->back() != c) {
      return Error(absl::StrCat("unexpected '", std::string(1, c), "'"));
    }
    brackets->pop_back();
    return absl::OkStatus();
  }

  absl::Status ReadNumber() {
    size_t end = pos_;
    const auto digits = [&] {
      while (IsDigit(At(end)) || At(end) == '_') ++end;
    };
    digits();
    bool is_float = false;
    if (At(end) == '.' && IsDigit(At(end + 1))) {
      is_float = true;
      ++end;
      digits();
    }
    if (At(end) == 'e' || At(end) == 'E') {
      const size_t sign = At(end + 1) == '+' || At(end + 1) == '-' ? 1 : 0;
      if (IsDigit(At(end + 1 + sign))) {
        is_float = true;
        end += 1 + sign;
        digits();
      }
    }
    if (IsNameStart(At(end))) return Error("a number runs into a name");
    std::string text = source_.substr(pos_, end - pos_);
    text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
    Add(is_float ? TokenKind::kFloat : TokenKind::kInteger, std::move(text));
    Advance(end);
    return absl::OkStatus();
  }

  absl::Status ReadString(char quote) {
    std::string text;
    size_t i = pos_ + 1;
    while (i < source_.size() && source_[i] != quote) {
      if (source_[i] == '\\') {
        SHOAL_RETURN_IF_ERROR(ReadEscape(&i, &text));
      } else {
        text.push_back(source_[i++]);
      }
    }
    if (i >= source_.size()) return Error("a string is not closed");
    Add(TokenKind::kString, std::move(text));
    Advance(i + 1);
    return absl::OkStatus();
  }

  // Python's escapes; one it does not know stays as it is written.
  absl::Status ReadEscape(size_t* pos, std::string* out) const {
    const char c = At(*pos + 1);
    static constexpr std::string_view kNames = "\\'\"abfnrtv";
    static constexpr std::string_view kValues = "\\'\"\a\b\f\n\r\t\v";
    const size_t simple = kNames.find(c);
    if (c != '\0' && simple != std::string_view::npos) {
      out->push_back(kValues[simple]);
      *pos += 2;
      return absl::OkStatus();
    }
    if (c == '\n') {  // A line end after a backslash joins the lines.
      *pos += 2;
      return absl::OkStatus();
    }
    if (c == 'x') return ReadHexEscape(pos, 2, out);
    if (c == 'u') return ReadHexEscape(pos, 4, out);
    if (c == 'U') return ReadHexEscape(pos, 8, out);
    if (c == 'N' || (c >= '0' && c <= '7')) {
      return absl::UnimplementedError(
          absl::StrCat("line ", line_, ": the escape \\", std::string(1, c), " is not known"));
    }
    out->push_back('\\');
    *pos += 1;
    return absl::OkStatus();
  }

  absl::Status ReadHexEscape(size_t* pos, size_t n_digits, std::string* out) const {
    uint32_t code = 0;
    for (size_t i = 0; i < n_digits; ++i) {
      const char c = At(*pos + 2 + i);
      const size_t digit = std::string_view("0123456789abcdef").find(c | 0x20);
      if (digit == std::string_view::npos) return Error("an escape has too few hex digits");
      code = code << 4 | static_cast<uint32_t>(digit);
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
      return Error("an escape stands for no character");
    }
    AppendUtf8(code, out);
    *pos += 2 + n_digits;
    return absl::OkStatus();
  }

  const std::string source_;
  size_t pos_ = 0;
  int line_ = 1;
  bool at_line_start_ = true;  // Whether pos_ is where a line begins.
  std::vector<Token> tokens_;
};

}  // namespace

absl::StatusOr<std::vector<Token>> Tokenize(std::string_view source) {
  if (const size_t bad = FindInvalidUtf8(source); bad != std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("template is not UTF-8 at byte ", bad));
  }
  return Lexer(source).Run();
}

}  // namespace shoal::jinja
