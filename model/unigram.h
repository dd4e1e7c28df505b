#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/vocabulary.h"

namespace shoal {

// SentencePiece's unigrams (Kudo 2018, arXiv:1804.10959): of all ways to cut a text into tokens the
// one whose scores add up to the most. Immutable, thread-safe.
class Unigram {
 public:
  // InvalidArgument for a vocabulary without unknown token or with too much text in it.
  static absl::StatusOr<std::unique_ptr<Unigram>> Create(const Vocabulary& vocabulary);

  // Appends the ids of `text`, valid UTF-8 as PieceSpelling writes it. A character that no token of
  // its own stands for may be unknown, at 10 below the lowest score: its bytes, if the vocabulary
  // has them, else the unknown token, one for a run. Among equal sums the token that begins first
  // stays. O(n) times the longest token.
  void Encode(std::string_view text, std::vector<int32_t>* ids) const;

 private:
  // Of the tokens' tree; the children of a node lie side by side, ascending.
  struct Node {
    uint32_t first_child = 0;
    uint16_t n_children = 0;
    uint8_t byte = 0;
    int32_t id = -1;  // The token that ends here.
  };
  // The best way to the end of a position's bytes: its last token.
  template <typename Real>
  struct Best {
    Real score = 0;
    int32_t id = -1;
    uint32_t length = 0;  // 0: no way yet.
  };

  explicit Unigram(const Vocabulary& vocabulary);
  void BuildTree(std::vector<std::pair<std::string_view, int32_t>> tokens);
  const Node* Child(const Node& node, uint8_t byte) const;
  template <typename Real>
  std::vector<Best<Real>> FindBest(std::string_view text) const;
  template <typename Real>
  void EncodeAs(std::string_view text, std::vector<int32_t>* ids) const;

  const bool f64_;
  const int32_t unk_id_;
  double unk_score_ = 0;
  std::vector<double> scores_;
  std::vector<Node> nodes_;  // [0] is the root.
  bool has_bytes_ = true;
  int32_t id_of_byte_[256];
};

}  // namespace shoal
