#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace shoal {

// SentencePiece's precompiled character map: a double-array trie (Aoe 1989) of byte strings and
// what to write for each, mostly Unicode's compatibility composition. Immutable, thread-safe.
class Charsmap {
 public:
  // InvalidArgument, naming what is wrong, for bytes that are none. Empty `blob`: changes nothing.
  static absl::StatusOr<Charsmap> Parse(std::string_view blob);

  // `text`, valid UTF-8, mapped from left to right. At each place the longest entry counts, or with
  // `clusters` the shortest one that begins the grapheme cluster there, of which the rest is left
  // out (so do Hugging Face's tokenizers). Valid UTF-8.
  std::string Map(std::string_view text, bool clusters) const;

  bool empty() const { return units_.empty(); }

 private:
  struct Match {
    std::string_view replacement;
    size_t length = 0;  // Of what it replaces; 0: no entry.
  };
  Match Find(std::string_view text, bool longest) const;
  void MapCluster(std::string_view cluster, std::string* out) const;

  std::vector<uint32_t> units_;
  std::string texts_;  // Each ended by NUL.
};

}  // namespace shoal
