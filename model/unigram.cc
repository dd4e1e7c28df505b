#include "model/unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/byte_pairs.h"
#include "model/utf8.h"

namespace shoal {
namespace {

constexpr double kUnknownPenalty = 10;
constexpr size_t kMaxToken = 1024;                   // No real one is longer; bounds the work.
constexpr size_t kMaxTokenBytes = size_t{16} << 20;  // Of all; the widest vocabularies have 4 MB.

}  // namespace

Unigram::Unigram(const Vocabulary& vocabulary)
    : f64_(vocabulary.hf_rules), unk_id_(vocabulary.unk_id), scores_(vocabulary.scores) {
  std::fill(std::begin(id_of_byte_), std::end(id_of_byte_), -1);
}

absl::StatusOr<std::unique_ptr<Unigram>> Unigram::Create(const Vocabulary& vocabulary) {
  if (vocabulary.unk_id < 0) {
    return absl::InvalidArgumentError(
        "a unigram vocabulary without an unknown token; convert the model again");
  }
  auto unigram = std::unique_ptr<Unigram>(new Unigram(vocabulary));
  std::vector<std::pair<std::string_view, int32_t>> tokens;
  double lowest = std::numeric_limits<double>::max();
  size_t n_bytes = 0;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string_view text = vocabulary.tokens[id];
    const TokenType type = vocabulary.types[id];
    const bool any_type = vocabulary.hf_rules;  // There, special tokens count too.
    if (any_type || type == TokenType::kNormal) lowest = std::min(lowest, vocabulary.scores[id]);
    if (type == TokenType::kByte && ByteOfPiece(text) >= 0) {
      unigram->id_of_byte_[ByteOfPiece(text)] = static_cast<int32_t>(id);
    }
    const bool piece = type == TokenType::kNormal || (any_type && type == TokenType::kByte);
    if (!piece || text.empty() || text.size() > kMaxToken) continue;
    n_bytes += text.size();
    tokens.emplace_back(text, static_cast<int32_t>(id));
  }
  if (n_bytes > kMaxTokenBytes) {
    return absl::InvalidArgumentError(absl::StrCat("tokens of ", n_bytes, " bytes; at most ",
                                                   kMaxTokenBytes, "; convert the model again"));
  }
  if (lowest == std::numeric_limits<double>::max()) lowest = 0;
  unigram->unk_score_ = lowest - kUnknownPenalty;
  unigram->has_bytes_ = std::none_of(std::begin(unigram->id_of_byte_),
                                     std::end(unigram->id_of_byte_), [](int id) { return id < 0; });
  unigram->BuildTree(std::move(tokens));
  return unigram;
}

void Unigram::BuildTree(std::vector<std::pair<std::string_view, int32_t>> tokens) {
  std::sort(tokens.begin(), tokens.end());
  struct Range {
    size_t begin;
    size_t end;
    size_t depth;
  };
  std::vector<Range> ranges = {{0, tokens.size(), 0}};  // Tokens below each node.
  nodes_.emplace_back();
  for (size_t at = 0; at < nodes_.size(); ++at) {
    auto [begin, end, depth] = ranges[at];
    if (begin < end && tokens[begin].first.size() == depth) {
      nodes_[at].id = tokens[begin].second;
      while (begin < end && tokens[begin].first.size() == depth) ++begin;  // Doubles: the first.
    }
    nodes_[at].first_child = static_cast<uint32_t>(nodes_.size());
    while (begin < end) {
      const auto byte = static_cast<uint8_t>(tokens[begin].first[depth]);
      size_t next = begin;
      while (next < end && static_cast<uint8_t>(tokens[next].first[depth]) == byte) ++next;
      Node child;
      child.byte = byte;
      nodes_.push_back(child);
      ranges.push_back({begin, next, depth + 1});
      ++nodes_[at].n_children;
      begin = next;
    }
  }
}

const Unigram::Node* Unigram::Child(const Node& node, uint8_t byte) const {
  const auto begin = nodes_.begin() + node.first_child;
  const auto end = begin + node.n_children;
  const auto found = std::lower_bound(
      begin, end, byte, [](const Node& child, uint8_t want) { return child.byte < want; });
  return found != end && found->byte == byte ? &*found : nullptr;
}

template <typename Real>
std::vector<Unigram::Best<Real>> Unigram::FindBest(std::string_view text) const {
  std::vector<Best<Real>> best(text.size() + 1);
  const auto offer = [&best](size_t end, size_t length, Real score, int32_t id) {
    Best<Real>& old = best[end];
    if (old.length == 0 || score > old.score) old = {score, id, static_cast<uint32_t>(length)};
  };
  for (size_t begin = 0; begin < text.size();) {
    const size_t character = ReadUtf8(text, begin).length;
    const Real so_far = best[begin].score;
    bool known = false;
    const Node* node = &nodes_[0];
    for (size_t end = begin; end < text.size();) {
      node = Child(*node, static_cast<uint8_t>(text[end]));
      if (node == nullptr) break;
      ++end;
      if (node->id < 0) continue;
      const Real score = static_cast<Real>(scores_[static_cast<size_t>(node->id)]);
      offer(end, end - begin, score + so_far, node->id);
      known |= end - begin == character;
    }
    if (!known) {
      offer(begin + character, character, static_cast<Real>(unk_score_) + so_far, unk_id_);
    }
    begin += character;
  }
  return best;
}

template <typename Real>
void Unigram::EncodeAs(std::string_view text, std::vector<int32_t>* ids) const {
  const std::vector<Best<Real>> best = FindBest<Real>(text);
  std::vector<int32_t> reversed;
  for (size_t end = text.size(); end > 0; end -= best[end].length) {
    const int32_t id = best[end].id;
    if (id != unk_id_) {
      reversed.push_back(id);
    } else if (has_bytes_) {
      for (size_t i = 0; i < best[end].length; ++i) {
        reversed.push_back(id_of_byte_[static_cast<uint8_t>(text[end - 1 - i])]);
      }
    } else if (reversed.empty() || reversed.back() != unk_id_) {
      reversed.push_back(unk_id_);
    }
  }
  ids->insert(ids->end(), reversed.rbegin(), reversed.rend());
}

void Unigram::Encode(std::string_view text, std::vector<int32_t>* ids) const {
  f64_ ? EncodeAs<double>(text, ids) : EncodeAs<float>(text, ids);
}

}  // namespace shoal
