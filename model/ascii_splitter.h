#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace shoal {

// What the expressions of a pre-tokenizer come to where only ASCII is concerned.
struct AsciiRule {
  enum class Shape : uint8_t {
    kNone,      // Nothing is known.
    kGpt2,      // kGpt2 of the pre-tokenizer's table.
    kCl100k,    // Cl100k of it, with up to max_digits digits.
    kO200k,     // O200k of it, likewise.
    kDeepSeek,  // DeepSeek V3's last expression.
    kDigits,    // \p{N}{1,max_digits} alone.
    kWide,      // Matches only outside ASCII.
  };
  Shape shape = Shape::kNone;
  int max_digits = 1;
  bool contractions = false;  // kO200k: a contraction ends a word.
  bool slashes = false;       // kO200k: slashes, like line ends, follow symbols.
};

// The end of the match that begins at `pos` < text.size(); `pos` itself when characters outside
// ASCII have a say in it, or nothing matches there: the expression must decide. Never for kDigits
// and kWide.
size_t MatchAscii(const AsciiRule& rule, std::string_view text, size_t pos);

// For kDigits and kWide: the first place at or after `pos` where a match may begin, or the size.
size_t FirstCandidate(const AsciiRule& rule, std::string_view text, size_t pos);

}  // namespace shoal
