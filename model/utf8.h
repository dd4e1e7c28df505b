#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace shoal {

// One step of reading UTF-8. A character: valid, its code point and length in bytes. Otherwise the
// longest stretch that begins a character but is none (Unicode 16, section 3.9, "maximal
// subpart"), one byte at least; `truncated` when only the end of the text cut it short.
struct Utf8Step {
  char32_t code_point = 0xFFFD;
  size_t length = 0;
  bool valid = false;
  bool truncated = false;
};

// Reads at `pos` < text.size().
Utf8Step ReadUtf8(std::string_view text, size_t pos);

// Offset of the first byte that is not part of a character, or npos.
size_t FindInvalidUtf8(std::string_view text);

void AppendUtf8(char32_t code_point, std::string* out);

// Appends `bytes` with U+FFFD for each maximal invalid part. A truncated tail is left out and its
// length returned, unless `final`.
size_t AppendValidUtf8(std::string_view bytes, bool final, std::string* out);

// Characters in valid UTF-8.
size_t CountCodePoints(std::string_view text);

}  // namespace shoal
