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

// Byte-level byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) of one piece of text.
// Thread-safe.
class BytePairs {
 public:
  // token_bytes: BytesOfToken of every id; outlives this. InvalidArgument, naming the line, for a
  // merge that is not two tokens whose union is a token.
  static absl::StatusOr<std::unique_ptr<BytePairs>> Create(
      const Vocabulary& vocabulary, const std::vector<std::string>& token_bytes);

  // Appends the ids of `piece`: merges apply by rank, leftmost among equals. A byte that has no
  // token is left out. O(n log n).
  void Encode(std::string_view piece, std::vector<int32_t>* ids) const;

 private:
  struct Merge {
    int32_t rank;
    int32_t id;
  };

  explicit BytePairs(size_t vocab_size) : whole_(vocab_size) {}
  absl::Status AddMerge(std::string_view line, int32_t rank);
  void MergePiece(std::string_view piece, std::vector<int32_t>* ids) const;
  const Merge* Find(int32_t left, int32_t right) const;

  absl::flat_hash_map<std::string_view, int32_t, std::hash<std::string_view>> id_of_bytes_;
  absl::flat_hash_map<uint64_t, Merge> merges_;  // By left id << 32 | right id.
  int32_t id_of_byte_[256];                      // -1: the vocabulary lacks this byte.

  // Whether merging a token's own bytes gives that token: found out when first met, because most
  // pieces of a text are whole tokens and need no merging again.
  enum Whole : uint8_t { kUnknown, kYes, kNo };
  mutable std::vector<std::atomic<uint8_t>> whole_;
};

}  // namespace shoal
