#include "model/byte_pairs.h"

#include <algorithm>
#include <array>
#include <functional>
#include <queue>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/utf8.h"

namespace shoal {
namespace {

// GPT-2's alphabet: printable Latin-1 bytes stand for themselves, the other 68 are U+0100 to
// U+0143 in ascending order.
constexpr char32_t kAlphabetEnd = 0x144;

std::array<int, kAlphabetEnd> BuildByteOfCharacter() {
  std::array<int, kAlphabetEnd> byte_of{};
  byte_of.fill(-1);
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool itself = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
    byte_of[itself ? static_cast<char32_t>(byte) : next++] = byte;
  }
  return byte_of;
}

int ByteOfCharacter(char32_t character) {
  static const std::array<int, kAlphabetEnd> byte_of = BuildByteOfCharacter();
  return character < kAlphabetEnd ? byte_of[character] : -1;
}

// No piece of a real vocabulary is longer; bounds the work for one that is.
constexpr size_t kMaxPieceToCut = 1024;

uint64_t PairKey(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// The piece while it is merged: a doubly linked list in place.
struct Symbol {
  int32_t id;
  int32_t previous;
  int32_t next;
};

// A merge that was possible when it was found; stale once either symbol changed.
struct Candidate {
  uint64_t order;  // rank << 32 | position of the left symbol.
  int32_t left_id;
  int32_t right_id;
  int32_t merged_id;
  bool operator>(const Candidate& other) const { return order > other.order; }
};

}  // namespace

int ByteOfPiece(std::string_view text) {
  int byte = 0;
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return -1;
  for (const char c : text.substr(3, 2)) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return -1;
    byte = byte * 16 + (absl::ascii_isdigit(static_cast<unsigned char>(c))
                            ? c - '0'
                            : absl::ascii_toupper(static_cast<unsigned char>(c)) - 'A' + 10);
  }
  return byte;
}

std::string BytesOfToken(std::string_view text, TokenType type) {
  if (type != TokenType::kNormal) return std::string(text);
  std::string bytes;
  for (size_t pos = 0; pos < text.size();) {
    const Utf8Step step = ReadUtf8(text, pos);
    const int byte = step.valid ? ByteOfCharacter(step.code_point) : -1;
    if (byte < 0) return std::string(text);
    bytes.push_back(static_cast<char>(byte));
    pos += step.length;
  }
  return bytes;
}

BytePairs::BytePairs(const Vocabulary& vocabulary)
    : characters_(vocabulary.model == "llama"),
      ignore_merges_(vocabulary.ignore_merges),
      unk_id_(characters_ ? vocabulary.unk_id : -1),
      whole_(vocabulary.tokens.size()) {}

absl::StatusOr<std::unique_ptr<BytePairs>> BytePairs::Create(
    const Vocabulary& vocabulary, const std::vector<std::string>& texts) {
  auto pairs = std::unique_ptr<BytePairs>(new BytePairs(vocabulary));
  pairs->id_of_bytes_.reserve(texts.size());
  // User-defined tokens are cut out of a text before, but may be parts of others.
  for (const TokenType type : {TokenType::kNormal, TokenType::kUserDefined}) {
    for (size_t id = 0; id < texts.size(); ++id) {
      if (vocabulary.types[id] != type || texts[id].empty()) continue;
      pairs->id_of_bytes_.emplace(texts[id], static_cast<int32_t>(id));
    }
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const auto found = pairs->id_of_bytes_.find(std::string_view(&c, 1));
    const bool none = pairs->characters_ || found == pairs->id_of_bytes_.end();
    pairs->id_of_byte_[byte] = none ? -1 : found->second;
  }
  for (size_t id = 0; pairs->characters_ && id < texts.size(); ++id) {
    const int byte = ByteOfPiece(vocabulary.tokens[id]);
    if (vocabulary.types[id] == TokenType::kByte && byte >= 0) {
      pairs->id_of_byte_[byte] = static_cast<int32_t>(id);
    }
  }
  pairs->merges_.reserve(vocabulary.merges.size());
  for (size_t rank = 0; rank < vocabulary.merges.size(); ++rank) {
    SHOAL_RETURN_IF_ERROR(pairs->AddMerge(vocabulary.merges[rank], static_cast<int32_t>(rank)));
  }
  if (pairs->characters_ && vocabulary.merges.empty()) pairs->AddMergesByScore(vocabulary);
  return pairs;
}

void BytePairs::AddMergesByScore(const Vocabulary& vocabulary) {
  std::vector<float> scores = vocabulary.scores;
  std::sort(scores.begin(), scores.end(), std::greater<float>());
  scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.types[id] != TokenType::kNormal) continue;
    const std::string_view text = vocabulary.tokens[id];
    const auto rank = std::lower_bound(scores.begin(), scores.end(), vocabulary.scores[id],
                                       std::greater<float>()) -
                      scores.begin();
    for (size_t cut = 1; cut < text.size() && cut <= kMaxPieceToCut; ++cut) {
      const auto left = id_of_bytes_.find(text.substr(0, cut));
      if (left == id_of_bytes_.end()) continue;
      const auto right = id_of_bytes_.find(text.substr(cut));
      if (right == id_of_bytes_.end()) continue;
      merges_.emplace(PairKey(left->second, right->second),
                      Merge{static_cast<int32_t>(rank), static_cast<int32_t>(id)});
    }
  }
}

absl::Status BytePairs::AddMerge(std::string_view line, int32_t rank) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer.ggml.merges[", rank, "] is not two tokens with one space between"));
  }
  const auto part = [this](std::string_view text) {
    return characters_ ? std::string(text) : BytesOfToken(text, TokenType::kNormal);
  };
  const std::string left = part(line.substr(0, space));
  const std::string right = part(line.substr(space + 1));
  const auto end = id_of_bytes_.end();
  const auto left_id = id_of_bytes_.find(std::string_view(left));
  const auto right_id = id_of_bytes_.find(std::string_view(right));
  const std::string both = left + right;
  const auto merged_id = id_of_bytes_.find(std::string_view(both));
  if (left_id == end || right_id == end || merged_id == end) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tokenizer.ggml.merges[", rank, "]: its ",
        left_id == end    ? "left part"
        : right_id == end ? "right part"
                          : "union",
        " is not a normal token of the vocabulary; the file is damaged, convert the model again"));
  }
  merges_.emplace(PairKey(left_id->second, right_id->second), Merge{rank, merged_id->second});
  return absl::OkStatus();
}

const BytePairs::Merge* BytePairs::Find(int32_t left, int32_t right) const {
  const auto found = merges_.find(PairKey(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void BytePairs::Encode(std::string_view piece, std::vector<int32_t>* ids) const {
  const auto found = id_of_bytes_.find(piece);
  if (found == id_of_bytes_.end()) return MergePiece(piece, ids);
  if (ignore_merges_) {
    ids->push_back(found->second);
    return;
  }
  std::atomic<uint8_t>& whole = whole_[static_cast<size_t>(found->second)];
  const uint8_t state = whole.load(std::memory_order_relaxed);
  if (state == kYes) {
    ids->push_back(found->second);
    return;
  }
  const size_t before = ids->size();
  MergePiece(piece, ids);
  if (state == kUnknown) {
    const bool same = ids->size() == before + 1 && ids->back() == found->second;
    whole.store(same ? kYes : kNo, std::memory_order_relaxed);
  }
}

void BytePairs::MergePiece(std::string_view piece, std::vector<int32_t>* ids) const {
  std::vector<Symbol> symbols;
  symbols.reserve(piece.size());
  const auto put = [&symbols](int32_t id) {
    const auto at = static_cast<int32_t>(symbols.size());
    symbols.push_back({id, at - 1, at + 1});
  };
  for (size_t pos = 0, length = 1; pos < piece.size(); pos += length) {
    if (characters_) {
      length = ReadUtf8(piece, pos).length;
      const auto found = id_of_bytes_.find(piece.substr(pos, length));
      if (found != id_of_bytes_.end()) {
        put(found->second);
        continue;
      }
    }
    bool known = true;
    for (const char c : piece.substr(pos, length))
      known &= id_of_byte_[static_cast<uint8_t>(c)] >= 0;
    if (known) {
      for (const char c : piece.substr(pos, length)) put(id_of_byte_[static_cast<uint8_t>(c)]);
    } else if (unk_id_ >= 0 && (symbols.empty() || symbols.back().id != unk_id_)) {
      put(unk_id_);  // One for a run of them.
    }
  }
  if (symbols.empty()) return;
  symbols.back().next = -1;

  std::vector<Candidate> heap;
  heap.reserve(symbols.size());
  const auto consider = [&](int32_t left) {
    if (left < 0 || symbols[left].next < 0) return false;
    const int32_t right_id = symbols[symbols[left].next].id;
    const Merge* merge = Find(symbols[left].id, right_id);
    if (merge == nullptr) return false;
    heap.push_back({PairKey(merge->rank, left), symbols[left].id, right_id, merge->id});
    return true;
  };
  const auto later = std::greater<Candidate>();
  for (size_t i = 0; i + 1 < symbols.size(); ++i) consider(static_cast<int32_t>(i));
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const Candidate top = heap.back();
    heap.pop_back();
    const auto at = static_cast<int32_t>(top.order & 0xFFFFFFFF);
    Symbol& left = symbols[at];
    if (left.id != top.left_id || left.next < 0 || symbols[left.next].id != top.right_id) continue;
    Symbol& right = symbols[left.next];
    left.id = top.merged_id;
    left.next = right.next;
    right.id = -1;  // No token: what still points here is stale.
    if (left.next >= 0) symbols[left.next].previous = at;
    if (consider(left.previous)) std::push_heap(heap.begin(), heap.end(), later);
    if (consider(at)) std::push_heap(heap.begin(), heap.end(), later);
  }
  for (int32_t i = 0; i >= 0; i = symbols[i].next) ids->push_back(symbols[i].id);
}

}  // namespace shoal
