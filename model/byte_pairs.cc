#include "model/byte_pairs.h"

#include <algorithm>
#include <array>
#include <functional>
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

// Whether a byte-level token is spelled in GPT-2's alphabet: no piece becomes one that is not, such
// as a raw character that some vocabularies have beside its bytes.
bool InAlphabet(std::string_view text, std::string_view bytes) {
  return text != bytes || std::all_of(text.begin(), text.end(), absl::ascii_isgraph);
}

// No piece of a real vocabulary is longer; bounds the work for one that is.
constexpr size_t kMaxPieceToCut = 1024;
constexpr size_t kMaxRemembered = 128;  // Longer pieces seldom come again.

uint64_t PairKey(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

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
      fuse_unk_(vocabulary.fuse_unk),
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
      const bool raw = !pairs->characters_ && type == TokenType::kNormal &&
                       !InAlphabet(vocabulary.tokens[id], texts[id]);
      if (raw) continue;
      pairs->id_of_bytes_.emplace(texts[id], static_cast<int32_t>(id));
    }
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const auto found = pairs->id_of_bytes_.find(std::string_view(&c, 1));
    const bool none = pairs->characters_ || found == pairs->id_of_bytes_.end();
    pairs->id_of_byte_[byte] = none ? -1 : found->second;
    if (byte < 128) {
      pairs->id_of_ascii_[byte] = found == pairs->id_of_bytes_.end() ? -1 : found->second;
    }
  }
  for (size_t id = 0; pairs->characters_ && id < texts.size(); ++id) {
    const int byte = ByteOfPiece(vocabulary.tokens[id]);
    if (vocabulary.types[id] == TokenType::kByte && byte >= 0) {
      pairs->id_of_byte_[byte] = static_cast<int32_t>(id);
    }
  }
  pairs->merges_.reserve(vocabulary.merges.size());
  pairs->merge_of_pair_.reserve(vocabulary.merges.size());
  for (size_t rank = 0; rank < vocabulary.merges.size(); ++rank) {
    SHOAL_RETURN_IF_ERROR(pairs->AddMerge(vocabulary.merges[rank], static_cast<int32_t>(rank)));
  }
  if (pairs->characters_ && vocabulary.merges.empty()) pairs->AddMergesByScore(vocabulary);
  return pairs;
}

void BytePairs::AddMergesByScore(const Vocabulary& vocabulary) {
  std::vector<double> scores = vocabulary.scores;
  std::sort(scores.begin(), scores.end(), std::greater<double>());
  scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.types[id] != TokenType::kNormal) continue;
    const std::string_view text = vocabulary.tokens[id];
    const auto rank = std::lower_bound(scores.begin(), scores.end(), vocabulary.scores[id],
                                       std::greater<double>()) -
                      scores.begin();
    for (size_t cut = 1; cut < text.size() && cut <= kMaxPieceToCut; ++cut) {
      const auto left = id_of_bytes_.find(text.substr(0, cut));
      if (left == id_of_bytes_.end()) continue;
      const auto right = id_of_bytes_.find(text.substr(cut));
      if (right == id_of_bytes_.end()) continue;
      PutMerge({static_cast<int32_t>(rank), left->second, right->second, static_cast<int32_t>(id)});
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
  PutMerge({rank, left_id->second, right_id->second, merged_id->second});
  return absl::OkStatus();
}

void BytePairs::PutMerge(const Merge& merge) {
  const auto at = static_cast<int32_t>(merges_.size());
  const bool fresh = merge_of_pair_.emplace(PairKey(merge.left, merge.right), at).second;
  if (fresh) merges_.push_back(merge);
}

void BytePairs::Encode(std::string_view piece, Memory* memory, std::vector<int32_t>* ids) const {
  const auto found = id_of_bytes_.find(piece);
  if (found == id_of_bytes_.end()) return MergeAnew(piece, memory, ids);
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
  MergeAnew(piece, memory, ids);
  if (state == kUnknown) {
    const bool same = ids->size() == before + 1 && ids->back() == found->second;
    whole.store(same ? kYes : kNo, std::memory_order_relaxed);
  }
}

// Merges, unless the same piece was merged before in this text.
void BytePairs::MergeAnew(std::string_view piece, Memory* memory, std::vector<int32_t>* ids) const {
  if (piece.size() > kMaxRemembered) return MergePiece(piece, memory, ids);
  const auto [entry, fresh] = memory->places_.try_emplace(piece, Memory::Place{ids->size(), 0});
  if (fresh) {
    MergePiece(piece, memory, ids);
    entry->second.size = ids->size() - entry->second.begin;
    return;
  }
  const auto [begin, size] = entry->second;
  for (size_t i = begin; i < begin + size; ++i) {
    const int32_t id = (*ids)[i];
    ids->push_back(id);
  }
}

void BytePairs::PutSymbols(std::string_view piece, std::vector<Symbol>* symbols) const {
  const auto put = [symbols](int32_t id) {
    const auto at = static_cast<int32_t>(symbols->size());
    symbols->push_back({id, at - 1, at + 1});
  };
  for (size_t pos = 0, length = 1; pos < piece.size(); pos += length) {
    if (characters_) {
      const auto first = static_cast<uint8_t>(piece[pos]);
      if (first < 128 && id_of_ascii_[first] >= 0) {
        put(id_of_ascii_[first]);
        length = 1;
        continue;
      }
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
    } else if (unk_id_ >= 0 && (!fuse_unk_ || symbols->empty() || symbols->back().id != unk_id_)) {
      put(unk_id_);
    }
  }
}

void BytePairs::MergePiece(std::string_view piece, Memory* memory,
                           std::vector<int32_t>* ids) const {
  std::vector<Symbol>& symbols = memory->symbols_;
  std::vector<Candidate>& heap = memory->heap_;
  symbols.clear();
  heap.clear();
  symbols.reserve(piece.size());
  PutSymbols(piece, &symbols);
  heap.reserve(symbols.size());
  if (symbols.empty()) return;
  symbols.back().next = -1;

  const auto consider = [&](int32_t left) {
    if (left < 0 || symbols[left].next < 0) return false;
    const auto found =
        merge_of_pair_.find(PairKey(symbols[left].id, symbols[symbols[left].next].id));
    if (found == merge_of_pair_.end()) return false;
    heap.push_back({PairKey(merges_[found->second].rank, left), found->second});
    return true;
  };
  const auto later = std::greater<Candidate>();
  for (size_t i = 0; i + 1 < symbols.size(); ++i) consider(static_cast<int32_t>(i));
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const Candidate top = heap.back();
    heap.pop_back();
    const Merge& merge = merges_[top.merge];
    const auto at = static_cast<int32_t>(top.order & 0xFFFFFFFF);
    Symbol& left = symbols[at];
    if (left.id != merge.left || left.next < 0 || symbols[left.next].id != merge.right) continue;
    Symbol& right = symbols[left.next];
    left.id = merge.id;
    left.next = right.next;
    right.id = -1;  // No token: what still points here is stale.
    if (left.next >= 0) symbols[left.next].previous = at;
    if (consider(left.previous)) std::push_heap(heap.begin(), heap.end(), later);
    if (consider(at)) std::push_heap(heap.begin(), heap.end(), later);
  }
  for (int32_t i = 0; i >= 0; i = symbols[i].next) ids->push_back(symbols[i].id);
}

}  // namespace shoal
