#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "model/vocabulary.h"

namespace shoal {

// Finds control, unknown and user-defined tokens by their text. Immutable, thread-safe; the
// vocabulary outlives it.
class SpecialTokens {
 public:
  struct Match {
    size_t pos = 0;
    size_t length = 0;
    int32_t id = -1;
    uint8_t strips = 0;  // StripFlags.
  };

  explicit SpecialTokens(const Vocabulary& vocabulary);

  // The longest token that starts at `pos`; id -1 when there is none. Tokens other than
  // user-defined ones count only if they end at or before `control_end`.
  Match At(std::string_view text, size_t pos, size_t control_end) const;
  // Whether any token starts with `first`.
  bool CanStart(char first) const { return starts_[static_cast<uint8_t>(first)]; }

 private:
  struct Entry {
    std::string_view text;
    int32_t id;
    bool user_defined;
    uint8_t strips;
  };
  std::vector<Entry> entries_;      // By text, so that tokens with one prefix are neighbours.
  std::array<bool, 256> starts_{};  // By first byte.
};

}  // namespace shoal
