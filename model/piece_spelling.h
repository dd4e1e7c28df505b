#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "model/charsmap.h"
#include "model/vocabulary.h"

namespace shoal {

// What SentencePiece writes for a space.
inline constexpr std::string_view kSpaceMark = "\u2581";

// White space as Unicode has it.
bool IsWhiteSpace(char32_t c);
// Both take valid UTF-8.
std::string_view WithoutSpaceAtStart(std::string_view text);
std::string_view WithoutSpaceAtEnd(std::string_view text);

// The bytes that a SentencePiece token decodes to.
std::string BytesOfPiece(std::string_view text, TokenType type);

// Whether no token has a space mark behind another character: then a text falls into words, each of
// which begins with its marks and merges on its own.
bool FallsIntoWords(const Vocabulary& vocabulary);

// How a text is written before SentencePiece's pieces are looked for in it: characters mapped,
// spaces as U+2581, perhaps one before, perhaps never two. Immutable, thread-safe.
class PieceSpelling {
 public:
  // InvalidArgument for a bad character map.
  static absl::StatusOr<PieceSpelling> Create(const Vocabulary& vocabulary);

  // `text`: a stretch between special tokens, valid UTF-8; `first`: at the start of the whole text.
  std::string Spell(std::string_view text, bool first) const;

 private:
  Charsmap map_;
  bool hf_rules_ = false;
  SpacePrefix prefix_ = SpacePrefix::kNone;
  SpaceRuns runs_ = SpaceRuns::kKept;
};

}  // namespace shoal
