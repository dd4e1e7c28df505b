#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "model/vocabulary.h"

namespace shoal {

// Bytes of one token: normal tokens are spelled in GPT-2's printable alphabet, one character a
// byte; a token with any other character, and every special one, is its own text.
std::string BytesOfToken(std::string_view text, TokenType type);

// The byte that a SentencePiece token "<0x0A>" stands for; -1: no such text.
int ByteOfPiece(std::string_view text);

// Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) of one piece of text, which begins
// with its bytes or, as in SentencePiece, with its characters and the bytes of those that are no
// token. Thread-safe.
class BytePairs {
 public:
  // texts: by id, what a piece spells a token as; outlives this. Without merges a "llama"
  // vocabulary joins the two parts of every token, best score first. InvalidArgument, naming the
  // line, for a merge that is not two tokens whose union is a token.
  static absl::StatusOr<std::unique_ptr<BytePairs>> Create(const Vocabulary& vocabulary,
                                                           const std::vector<std::string>& texts);

  // Appends the ids of `piece`: merges apply by rank, leftmost among equals. A byte that has no
  // token is left out, or for a "llama" vocabulary its unknown token. O(n log n).
  void Encode(std::string_view piece, std::vector<int32_t>* ids) const;

 private:
  struct Merge {
    int32_t rank;
    int32_t id;
  };

  explicit BytePairs(const Vocabulary& vocabulary);
  absl::Status AddMerge(std::string_view line, int32_t rank);
  void AddMergesByScore(const Vocabulary& vocabulary);
  void MergePiece(std::string_view piece, std::vector<int32_t>* ids) const;
  const Merge* Find(int32_t left, int32_t right) const;

  const bool characters_;     // Begin with characters.
  const bool ignore_merges_;  // Vocabulary::ignore_merges.
  const int32_t unk_id_;
  absl::flat_hash_map<std::string_view, int32_t, std::hash<std::string_view>> id_of_bytes_;
  absl::flat_hash_map<uint64_t, Merge> merges_;  // By left id << 32 | right id.
  int32_t id_of_byte_[256];                      // -1: the vocabulary lacks this byte.

  // Whether merging a token's own bytes gives that token: found out when first met, because most
  // pieces of a text are whole tokens and need no merging again.
  enum Whole : uint8_t { kUnknown, kYes, kNo };
  mutable std::vector<std::atomic<uint8_t>> whole_;
};

}  // namespace shoal
