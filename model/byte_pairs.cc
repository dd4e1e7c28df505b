#include "model/byte_pairs.h"

#include <algorithm>
#include <array>
#include <queue>
#include <utility>

#include "absl/status/status.h"
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

absl::StatusOr<std::unique_ptr<BytePairs>> BytePairs::Create(
    const Vocabulary& vocabulary, const std::vector<std::string>& token_bytes) {
  auto pairs = std::unique_ptr<BytePairs>(new BytePairs(token_bytes.size()));
  pairs->id_of_bytes_.reserve(token_bytes.size());
  for (size_t id = 0; id < token_bytes.size(); ++id) {
    if (vocabulary.types[id] != TokenType::kNormal) continue;
    pairs->id_of_bytes_.emplace(token_bytes[id], static_cast<int32_t>(id));
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const auto found = pairs->id_of_bytes_.find(std::string_view(&c, 1));
    pairs->id_of_byte_[byte] = found == pairs->id_of_bytes_.end() ? -1 : found->second;
  }
  pairs->merges_.reserve(vocabulary.merges.size());
  for (size_t rank = 0; rank < vocabulary.merges.size(); ++rank) {
    SHOAL_RETURN_IF_ERROR(pairs->AddMerge(vocabulary.merges[rank], static_cast<int32_t>(rank)));
  }
  return pairs;
}

absl::Status BytePairs::AddMerge(std::string_view line, int32_t rank) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer.ggml.merges[", rank, "] is not two tokens with one space between"));
  }
  const std::string left = BytesOfToken(line.substr(0, space), TokenType::kNormal);
  const std::string right = BytesOfToken(line.substr(space + 1), TokenType::kNormal);
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
  for (const char c : piece) {
    const int32_t id = id_of_byte_[static_cast<uint8_t>(c)];
    const auto at = static_cast<int32_t>(symbols.size());
    if (id >= 0) symbols.push_back({id, at - 1, at + 1});
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
