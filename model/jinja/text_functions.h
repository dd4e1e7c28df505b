#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "model/jinja/text.h"

namespace shoal::jinja {

// Python's string operations on Text; marks go where their bytes go.

// Offset of each character, and the size at the end.
std::vector<size_t> CharacterOffsets(std::string_view text);

enum class Side { kLeft, kRight, kBoth };
// str.strip and its like: white space, or with `chars` any of those characters.
Text Strip(const Text& text, Side side, const std::string_view* chars = nullptr);

// How often `needle`, which is not empty, is in `text` without overlap.
size_t CountMatches(std::string_view text, std::string_view needle);

// str.split(separator, max) and rsplit; separator not empty; max < 0: no limit.
std::vector<Text> Split(const Text& text, std::string_view separator, int64_t max, bool from_right);
// str.split() at white space.
std::vector<Text> SplitWords(const Text& text, int64_t max, bool from_right);
// str.splitlines().
std::vector<Text> SplitLines(const Text& text, bool keep_ends = false);

// str.replace; count < 0: all.
Text Replace(const Text& text, std::string_view from, const Text& to, int64_t count);

enum class Case { kLower, kUpper, kCapitalize, kTitleMethod, kTitleFilter };
// kTitleMethod starts a word after anything but a letter, kTitleFilter after blanks, - and opening
// brackets.
Text ChangeCase(const Text& text, Case to);

// `&<>"'` as HTML entities.
Text EscapeHtml(const Text& text);

// The white space of Python's str.isspace.
bool IsPythonSpace(char32_t c);

}  // namespace shoal::jinja
