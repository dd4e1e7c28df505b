#pragma once

#include <string_view>

namespace shoal {

// Unicode 16's general categories ("L", "Lu", "N", "P", ...) and the script "Han", for the inside
// of a character class of PCRE2, whose own tables may be older. Empty for another name.
std::string_view UnicodeClass(std::string_view name);

// The same without the characters of the script Han.
std::string_view UnicodeClassWithoutHan(std::string_view name);

// White space as the regular expressions of tokenizers mean it; PCRE2's own would add U+180E.
inline constexpr std::string_view kUnicodeSpace =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

}  // namespace shoal
