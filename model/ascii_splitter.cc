#include "model/ascii_splitter.h"

#include <algorithm>
#include <array>

namespace shoal {
namespace {

using Shape = AsciiRule::Shape;

enum Class : uint8_t { kControl, kSpace, kLineEnd, kDigit, kUpper, kLower, kSymbol, kNotAscii };

constexpr std::array<Class, 256> BuildClasses() {
  std::array<Class, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    classes[c] = c >= 128                                      ? kNotAscii
                 : c == '\r' || c == '\n'                      ? kLineEnd
                 : c == ' ' || c == '\t' || c == 11 || c == 12 ? kSpace
                 : c < ' ' || c == 127                         ? kControl
                 : c >= '0' && c <= '9'                        ? kDigit
                 : c >= 'A' && c <= 'Z'                        ? kUpper
                 : c >= 'a' && c <= 'z'                        ? kLower
                                                               : kSymbol;
  }
  return classes;
}
constexpr std::array<Class, 256> kClasses = BuildClasses();

bool IsLetter(Class c) { return c == kUpper || c == kLower; }
bool IsWhite(Class c) { return c == kSpace || c == kLineEnd; }
bool IsAlnum(Class c) { return IsLetter(c) || c == kDigit; }
bool IsOther(Class c) { return c == kControl || c == kSymbol; }

// Tries to match at one place. Each function gives the end of its match: the beginning when there
// is none, or kUndecided when what follows is outside ASCII.
class Matcher {
 public:
  static constexpr size_t kUndecided = std::string_view::npos;

  Matcher(std::string_view text, size_t pos) : text_(text), pos_(pos) {}

  size_t Gpt2() const {
    if (At(pos_) == '\'') {
      const size_t end = Contraction(pos_, /*any_case=*/false);
      if (end != pos_) return end;
    }
    const size_t begin = pos_ + (At(pos_) == ' ' ? 1 : 0);
    const Class first = ClassAt(begin);
    if (begin < text_.size() && !IsWhite(first)) {
      if (IsLetter(first)) return Decided(Run(begin, IsLetter));
      if (first == kDigit) return Decided(Run(begin, [](Class c) { return c == kDigit; }));
      return Decided(Run(begin, IsOther));
    }
    return WhiteSpace(/*line_ends=*/false);
  }

  size_t Cl100k(int max_digits) const {
    if (At(pos_) == '\'') {
      const size_t end = Contraction(pos_, /*any_case=*/true);
      if (end != pos_) return end;
    }
    const size_t begin = WordBegin();
    if (begin == kUndecided) return kUndecided;
    if (IsLetter(ClassAt(begin))) return Decided(Run(begin, IsLetter));
    return Rest(max_digits, /*slashes=*/false);
  }

  // A word is capitals, then small letters.
  size_t O200k(const AsciiRule& rule) const {
    const size_t begin = WordBegin();
    if (begin == kUndecided) return kUndecided;
    if (IsLetter(ClassAt(begin))) {
      const size_t small = Run(begin, [](Class c) { return c == kUpper; });
      const size_t end = Run(small, [](Class c) { return c == kLower; });
      if (Decided(end) == kUndecided || !rule.contractions || At(end) != '\'') return Decided(end);
      return Contraction(end, /*any_case=*/true);
    }
    return Rest(rule.max_digits, rule.slashes);
  }

  size_t DeepSeek() const {
    const Class first = ClassAt(pos_);
    if (first == kSymbol && IsLetter(ClassAt(pos_ + 1))) return Run(pos_ + 1, IsLetter);
    const bool joins = first != kSymbol && first != kLineEnd && !IsLetter(first);
    const size_t begin = pos_ + (joins ? 1 : 0);
    if (begin < text_.size() && ClassAt(begin) == kNotAscii) return kUndecided;
    if (IsLetter(ClassAt(begin))) return Decided(Run(begin, IsLetter));
    const size_t symbol = pos_ + (At(pos_) == ' ' ? 1 : 0);
    if (ClassAt(symbol) == kSymbol) {
      const size_t end = Decided(Run(symbol, [](Class c) { return c == kSymbol; }));
      return end == kUndecided ? end : Run(end, [](Class c) { return c == kLineEnd; });
    }
    return IsWhite(first) ? WhiteSpace(/*line_ends=*/true) : kUndecided;
  }

  // Up to `max_digits` digits.
  size_t Digits(int max_digits) const {
    size_t end = pos_;
    while (end < text_.size() && end - pos_ < static_cast<size_t>(max_digits) &&
           ClassAt(end) == kDigit) {
      ++end;
    }
    return end - pos_ == static_cast<size_t>(max_digits) ? end : Decided(end);
  }

 private:
  char At(size_t pos) const { return pos < text_.size() ? text_[pos] : '\0'; }
  // kControl behind the end, which no word goes on with.
  Class ClassAt(size_t pos) const { return kClasses[static_cast<uint8_t>(At(pos))]; }

  template <typename Belongs>
  size_t Run(size_t begin, Belongs belongs) const {
    while (begin < text_.size() && belongs(ClassAt(begin))) ++begin;
    return begin;
  }

  // `end`, unless the next character might belong to the match too.
  size_t Decided(size_t end) const {
    return end < text_.size() && ClassAt(end) == kNotAscii ? kUndecided : end;
  }

  // 's 't 'm 'd 're 've 'll at `begin`, where the apostrophe is; `begin` if there is none.
  size_t Contraction(size_t begin, bool any_case) const {
    if (ClassAt(begin + 1) == kNotAscii || ClassAt(begin + 2) == kNotAscii) return kUndecided;
    const auto letter = [&](size_t pos) {
      const char c = At(pos);
      return any_case && ClassAt(pos) == kUpper ? static_cast<char>(c + 32) : c;
    };
    const char first = letter(begin + 1);
    const char second = letter(begin + 2);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return begin + 2;
    const bool two =
        ((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l');
    return two ? begin + 3 : begin;
  }

  // Where the letters of a word that begins here would: behind one character that is no letter,
  // digit or line end.
  size_t WordBegin() const {
    const Class first = ClassAt(pos_);
    if (IsAlnum(first) || first == kLineEnd) return pos_;
    return ClassAt(pos_ + 1) == kNotAscii ? kUndecided : pos_ + 1;
  }

  // Digits, symbols and white space.
  size_t Rest(int max_digits, bool slashes) const {
    const Class first = ClassAt(pos_);
    if (first == kDigit) return Digits(max_digits);
    const size_t symbol = pos_ + (At(pos_) == ' ' ? 1 : 0);
    const Class next = ClassAt(symbol);
    if (symbol < text_.size() && !IsAlnum(next) && !IsWhite(next)) {
      size_t end = Decided(Run(symbol, IsOther));
      if (end == kUndecided) return end;
      while (end < text_.size() && (ClassAt(end) == kLineEnd || (slashes && text_[end] == '/'))) {
        ++end;
      }
      return end;
    }
    return WhiteSpace(/*line_ends=*/true);
  }

  // \s*[\r\n]+ with `line_ends`, then \s+(?!\S), then \s+.
  size_t WhiteSpace(bool line_ends) const {
    const size_t end = Decided(Run(pos_, IsWhite));
    if (end == kUndecided) return end;
    for (size_t last = end; line_ends && last > pos_; --last) {
      if (ClassAt(last - 1) == kLineEnd) return last;
    }
    return end == text_.size() || end - pos_ < 2 ? end : end - 1;
  }

  const std::string_view text_;
  const size_t pos_;
};

}  // namespace

size_t MatchAscii(const AsciiRule& rule, std::string_view text, size_t pos) {
  if (static_cast<uint8_t>(text[pos]) >= 0x80) return pos;
  const Matcher matcher(text, pos);
  size_t end = Matcher::kUndecided;
  switch (rule.shape) {
    case Shape::kGpt2:
      end = matcher.Gpt2();
      break;
    case Shape::kCl100k:
      end = matcher.Cl100k(rule.max_digits);
      break;
    case Shape::kO200k:
      end = matcher.O200k(rule);
      break;
    case Shape::kDeepSeek:
      end = matcher.DeepSeek();
      break;
    case Shape::kDigits:
      end = matcher.Digits(rule.max_digits);
      break;
    case Shape::kNone:
    case Shape::kWide:
      break;
  }
  return end == Matcher::kUndecided ? pos : end;
}

size_t FirstCandidate(const AsciiRule& rule, std::string_view text, size_t pos) {
  const bool digits = rule.shape == Shape::kDigits;
  const auto found =
      std::find_if(text.begin() + static_cast<std::ptrdiff_t>(pos), text.end(), [digits](char c) {
        const Class kind = kClasses[static_cast<uint8_t>(c)];
        return kind == kNotAscii || (digits && kind == kDigit);
      });
  return static_cast<size_t>(found - text.begin());
}

}  // namespace shoal
