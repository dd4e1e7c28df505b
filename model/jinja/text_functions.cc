#include "model/jinja/text_functions.h"

#include <utf8proc.h>

#include <algorithm>
#include <string>

#include "model/utf8.h"

namespace shoal::jinja {
namespace {

bool IsLineEnd(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

bool IsCased(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
         category == UTF8PROC_CATEGORY_LT;
}

// Full case mappings of the one letter in common use whose upper case is longer.
void AppendUpper(char32_t c, std::string* out) {
  if (c == 0xDF) {
    *out += "SS";
  } else {
    AppendUtf8(static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))), out);
  }
}

void AppendTitle(char32_t c, std::string* out) {
  if (c == 0xDF) {
    *out += "Ss";
  } else {
    AppendUtf8(static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))), out);
  }
}

void AppendLower(char32_t c, std::string* out) {
  AppendUtf8(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))), out);
}

bool StartsTitleWord(char32_t previous, Case to) {
  if (to == Case::kTitleMethod) return !IsCased(previous);
  return IsPythonSpace(previous) || previous == '-' || previous == '(' || previous == '{' ||
         previous == '[' || previous == '<';
}

// Half-open ranges of bytes that are no white space.
std::vector<Text::Span> Words(std::string_view bytes) {
  std::vector<Text::Span> words;
  bool in_word = false;
  for (size_t pos = 0; pos < bytes.size();) {
    const Utf8Step step = ReadUtf8(bytes, pos);
    const bool space = IsPythonSpace(step.code_point);
    if (!space && !in_word) words.push_back({pos, pos});
    if (!space) words.back().end = pos + step.length;
    in_word = !space;
    pos += step.length;
  }
  return words;
}

}  // namespace

bool IsPythonSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

std::vector<size_t> CharacterOffsets(std::string_view text) {
  std::vector<size_t> offsets;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<uint8_t>(text[i]) & 0xC0) != 0x80) offsets.push_back(i);
  }
  offsets.push_back(text.size());
  return offsets;
}

Text Strip(const Text& text, Side side, const std::string_view* chars) {
  const std::string_view bytes = text.view();
  const auto strippable = [&](size_t pos, size_t length) {
    if (chars != nullptr) return chars->find(bytes.substr(pos, length)) != std::string_view::npos;
    return IsPythonSpace(ReadUtf8(bytes, pos).code_point);
  };
  size_t begin = 0;
  size_t end = bytes.size();
  while (side != Side::kRight && begin < end) {
    const size_t length = ReadUtf8(bytes, begin).length;
    if (!strippable(begin, length)) break;
    begin += length;
  }
  while (side != Side::kLeft && end > begin) {
    size_t last = end - 1;
    while ((static_cast<uint8_t>(bytes[last]) & 0xC0) == 0x80) --last;
    if (!strippable(last, end - last)) break;
    end = last;
  }
  return text.Slice(begin, end);
}

size_t CountMatches(std::string_view text, std::string_view needle) {
  size_t count = 0;
  for (size_t at = text.find(needle); at != std::string_view::npos;
       at = text.find(needle, at + needle.size())) {
    ++count;
  }
  return count;
}

std::vector<Text> Split(const Text& text, std::string_view separator, int64_t max,
                        bool from_right) {
  const std::string_view bytes = text.view();
  std::vector<size_t> cuts;
  if (from_right) {
    size_t end = bytes.size();
    while (end >= separator.size() && (max < 0 || static_cast<int64_t>(cuts.size()) < max)) {
      const size_t at = bytes.rfind(separator, end - separator.size());
      if (at == std::string_view::npos) break;
      cuts.push_back(at);
      end = at;
    }
    std::reverse(cuts.begin(), cuts.end());
  } else {
    for (size_t at = bytes.find(separator);
         at != std::string_view::npos && (max < 0 || static_cast<int64_t>(cuts.size()) < max);
         at = bytes.find(separator, at + separator.size())) {
      cuts.push_back(at);
    }
  }
  std::vector<Text> parts;
  size_t begin = 0;
  for (const size_t cut : cuts) {
    parts.push_back(text.Slice(begin, cut));
    begin = cut + separator.size();
  }
  parts.push_back(text.Slice(begin, bytes.size()));
  return parts;
}

std::vector<Text> SplitWords(const Text& text, int64_t max, bool from_right) {
  std::vector<Text::Span> words = Words(text.view());
  // Past the limit the rest stays one part, with all white space but that before the next part.
  const auto n = static_cast<size_t>(max);
  if (max >= 0 && words.size() > n) {
    if (from_right) {
      words[words.size() - n - 1].begin = 0;
      words.erase(words.begin(), words.end() - static_cast<std::ptrdiff_t>(n) - 1);
    } else {
      words[n].end = text.size();
      words.resize(n + 1);
    }
  }
  std::vector<Text> parts;
  parts.reserve(words.size());
  for (const Text::Span& word : words) parts.push_back(text.Slice(word.begin, word.end));
  return parts;
}

std::vector<Text> SplitLines(const Text& text, bool keep_ends) {
  const std::string_view bytes = text.view();
  std::vector<Text> lines;
  size_t begin = 0;
  for (size_t pos = 0; pos < bytes.size();) {
    const Utf8Step step = ReadUtf8(bytes, pos);
    size_t end = pos + step.length;
    if (IsLineEnd(step.code_point)) {
      if (step.code_point == '\r' && end < bytes.size() && bytes[end] == '\n') ++end;
      lines.push_back(text.Slice(begin, keep_ends ? end : pos));
      begin = end;
    }
    pos = end;
  }
  if (begin < bytes.size()) lines.push_back(text.Slice(begin, bytes.size()));
  return lines;
}

Text Replace(const Text& text, std::string_view from, const Text& to, int64_t count) {
  const std::string_view bytes = text.view();
  Text out;
  size_t kept = 0;  // Up to here everything is in `out`.
  for (size_t at = bytes.find(from); at != std::string_view::npos && count != 0; --count) {
    out.Append(text.Slice(kept, at));
    out.Append(to);
    kept = at + from.size();
    size_t next = kept;
    if (from.empty()) {  // Between every two characters.
      if (at >= bytes.size()) break;
      next += ReadUtf8(bytes, at).length;
    }
    at = bytes.find(from, next);
  }
  out.Append(text.Slice(kept, bytes.size()));
  return out;
}

Text ChangeCase(const Text& text, Case to) {
  Text out;
  char32_t previous = ' ';
  bool first = true;
  text.ForEachStretch([&](std::string_view stretch, bool literal) {
    std::string changed;
    for (size_t pos = 0; pos < stretch.size();) {
      const Utf8Step step = ReadUtf8(stretch, pos);
      const bool start = to == Case::kCapitalize ? first : StartsTitleWord(previous, to);
      if (to == Case::kUpper || (to == Case::kTitleFilter && start)) {
        AppendUpper(step.code_point, &changed);
      } else if (to == Case::kLower || !start) {
        AppendLower(step.code_point, &changed);
      } else {
        AppendTitle(step.code_point, &changed);
      }
      previous = step.code_point;
      first = false;
      pos += step.length;
    }
    out.Append(changed, literal);
  });
  return out;
}

Text EscapeHtml(const Text& text) {
  Text out;
  text.ForEachStretch([&](std::string_view stretch, bool literal) {
    std::string escaped;
    for (const char c : stretch) {
      switch (c) {
        case '&':
          escaped += "&amp;";
          break;
        case '<':
          escaped += "&lt;";
          break;
        case '>':
          escaped += "&gt;";
          break;
        case '"':
          escaped += "&#34;";
          break;
        case '\'':
          escaped += "&#39;";
          break;
        default:
          escaped.push_back(c);
      }
    }
    out.Append(escaped, literal);
  });
  return out;
}

}  // namespace shoal::jinja
