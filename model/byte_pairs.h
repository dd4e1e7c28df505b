#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
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
 private:
  // A piece while it is merged: a doubly linked list in place.
  struct Symbol {
    int32_t id;
    int32_t previous;
    int32_t next;
  };
  // A merge that was possible when it was found; stale once either symbol changed.
  struct Candidate {
    uint64_t order;  // rank << 32 | position of the left symbol.
    int32_t merge;   // Of merges_.
    bool operator>(const Candidate& other) const { return order > other.order; }
  };

 public:
  // What encoding a text's pieces remembers from one to the next: most words come again. Lives no
  // longer than the text, and takes part in the encoding of one at a time.
  class Memory {
   private:
    friend class BytePairs;
    struct Place {  // Of a piece's ids among the text's.
      size_t begin;
      size_t size;
    };
    absl::flat_hash_map<std::string_view, Place, std::hash<std::string_view>> places_;
    std::vector<Symbol> symbols_;
    std::vector<Candidate> heap_;
  };

  // texts: by id, what a piece spells a token as; outlives this. Without merges a "llama"
  // vocabulary joins the two parts of every token, best score first. InvalidArgument, naming the
  // line, for a merge that is not two tokens whose union is a token.
  static absl::StatusOr<std::unique_ptr<BytePairs>> Create(const Vocabulary& vocabulary,
                                                           const std::vector<std::string>& texts);

  // Appends the ids of `piece`: merges apply by rank, leftmost among equals. A byte that has no
  // token is left out, or for a "llama" vocabulary its unknown token. O(n log n). `memory` has seen
  // no ids but those in `ids`.
  void Encode(std::string_view piece, Memory* memory, std::vector<int32_t>* ids) const;

 private:
  struct Merge {
    int32_t rank;
    int32_t left;
    int32_t right;
    int32_t id;
  };

  explicit BytePairs(const Vocabulary& vocabulary);
  absl::Status AddMerge(std::string_view line, int32_t rank);
  void AddMergesByScore(const Vocabulary& vocabulary);
  void PutMerge(const Merge& merge);
  void MergeAnew(std::string_view piece, Memory* memory, std::vector<int32_t>* ids) const;
  void PutSymbols(std::string_view piece, std::vector<Symbol>* symbols) const;
  void MergePiece(std::string_view piece, Memory* memory, std::vector<int32_t>* ids) const;

  const bool characters_;     // Begin with characters.
  const bool ignore_merges_;  // Vocabulary::ignore_merges.
  const bool fuse_unk_;       // Vocabulary::fuse_unk.
  const int32_t unk_id_;
  absl::flat_hash_map<std::string_view, int32_t, std::hash<std::string_view>> id_of_bytes_;
  std::vector<Merge> merges_;
  absl::flat_hash_map<uint64_t, int32_t> merge_of_pair_;  // By left id << 32 | right id.
  int32_t id_of_byte_[256];                               // -1: the vocabulary lacks this byte.
  int32_t id_of_ascii_[128];  // Where pieces begin with characters; or -1.

  // Whether merging a token's own bytes gives that token: found out when first met, because most
  // pieces of a text are whole tokens and need no merging again.
  enum Whole : uint8_t { kUnknown, kYes, kNo };
  mutable std::vector<std::atomic<uint8_t>> whole_;
};

}  // namespace shoal
