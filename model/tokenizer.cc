#include "model/tokenizer.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/byte_pairs.h"
#include "model/piece_spelling.h"
#include "model/pre_tokenizer.h"
#include "model/special_tokens.h"
#include "model/unigram.h"
#include "model/utf8.h"

namespace shoal {
namespace {

constexpr size_t kMaxTextBytes = size_t{256} << 20;  // Positions inside a piece are 31 bits.

// No model file states every token that ends an answer, so these are known by their text.
constexpr const char* kEndTexts[] = {
    "<|im_end|>",    "<|endoftext|>", "<|end_of_text|>",
    "<|eot_id|>",    "<|eom_id|>",    "<|end|>",
    "<end_of_turn>", "<|return|>",    "<|call|>",
    "<|EOT|>",       "<|eot|>",       "<|end_of_turn|>",
    "</s>",          "<EOT>",         "<|fim_pad|>",
    "<|repo_name|>", "<|file_sep|>",  "<｜end▁of▁sentence｜>",
};

// Half-open stretch of a text, literal or not; stretches follow one another without a gap.
struct Run {
  size_t end;
  bool literal;
};

absl::Status CheckSizes(const Vocabulary& vocabulary) {
  const size_t size = vocabulary.tokens.size();
  if (!vocabulary.strips.empty() && vocabulary.strips.size() != size) {
    return absl::InvalidArgumentError(absl::StrCat("a vocabulary has ", vocabulary.strips.size(),
                                                   " strip flags for ", size, " tokens"));
  }
  const bool by_score =
      vocabulary.model == "t5" || (vocabulary.model == "llama" && vocabulary.merges.empty());
  if (by_score && vocabulary.scores.size() != size) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer.ggml.scores has ", vocabulary.scores.size(), " entries for ", size,
                     " tokens and there are no merges; convert the model again"));
  }
  return absl::OkStatus();
}

absl::Status CheckIds(const Vocabulary& vocabulary) {
  const auto size = static_cast<int64_t>(vocabulary.tokens.size());
  if (vocabulary.types.size() != vocabulary.tokens.size()) {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer.ggml.token_type has ",
                                                   vocabulary.types.size(), " entries for ", size,
                                                   " tokens; the counts must be equal"));
  }
  const std::pair<const char*, int32_t> ids[] = {{"bos", vocabulary.bos_id},
                                                 {"eos", vocabulary.eos_id},
                                                 {"eot", vocabulary.eot_id},
                                                 {"unknown", vocabulary.unk_id},
                                                 {"padding", vocabulary.pad_id}};
  for (const auto& [name, id] : ids) {
    if (id < -1 || id >= size) {
      return absl::InvalidArgumentError(absl::StrCat("tokenizer.ggml.", name, "_token_id=", id,
                                                     " not in [0, vocab_size=", size, ")"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

struct Tokenizer::Impl {
  explicit Impl(Vocabulary v) : vocabulary(std::move(v)), special(vocabulary) {}

  // Ids of a stretch without special tokens; `first`: at the start of the text.
  absl::Status EncodePlain(std::string_view text, bool first, std::vector<int32_t>* ids) const {
    if (text.empty()) return absl::OkStatus();
    const bool ascii = std::all_of(text.begin(), text.end(),
                                   [](char c) { return static_cast<uint8_t>(c) < 0x80; });
    std::string composed;
    if (vocabulary.nfc && !ascii) {
      SHOAL_ASSIGN_OR_RETURN(composed, PreTokenizer::Normalize(text));
      text = composed;
    }
    if (splitter == nullptr) {
      EncodeWords(spelling.Spell(text, first), ids);
      return absl::OkStatus();
    }
    BytePairs::Memory memory;
    return splitter->Split(text,
                           [&](std::string_view piece) { pairs->Encode(piece, &memory, ids); });
  }

  // Each word of a text that falls into words on its own.
  void EncodeWords(std::string_view text, std::vector<int32_t>* ids) const {
    const bool cut_all = vocabulary.cut_words;  // Not only before the first of several marks.
    BytePairs::Memory memory;
    const auto encode = [&](std::string_view word) {
      unigram != nullptr ? unigram->Encode(word, ids) : pairs->Encode(word, &memory, ids);
    };
    size_t begin = 0;
    for (size_t pos = 0; (words || cut_all) && pos < text.size();) {
      const size_t space = text.find(kSpaceMark, pos);
      if (space == std::string_view::npos) break;
      if ((cut_all || space != pos) && space > begin) {
        encode(text.substr(begin, space - begin));
        begin = space;
      }
      pos = space + kSpaceMark.size();
    }
    if (begin < text.size()) encode(text.substr(begin));
  }

  absl::StatusOr<std::vector<int32_t>> EncodeRuns(std::string_view text,
                                                  const std::vector<Run>& runs) const;
  void FindEndTokens();

  const Vocabulary vocabulary;
  const SpecialTokens special;
  bool words = false;              // EncodeWords may cut.
  std::vector<std::string> bytes;  // By id.
  PieceSpelling spelling;
  std::unique_ptr<BytePairs> pairs;  // This or the next.
  std::unique_ptr<Unigram> unigram;
  std::unique_ptr<PreTokenizer> splitter;  // Null: none, SentencePiece.
  absl::flat_hash_set<int32_t> end_ids;
};

absl::StatusOr<std::vector<int32_t>> Tokenizer::Impl::EncodeRuns(
    std::string_view text, const std::vector<Run>& runs) const {
  if (text.size() > kMaxTextBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("text of ", text.size(), " bytes; at most ", kMaxTextBytes));
  }
  if (const size_t bad = FindInvalidUtf8(text); bad != std::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("text is not UTF-8 at byte ", bad, "; convert it to UTF-8 first"));
  }
  std::vector<int32_t> ids;
  size_t plain_begin = 0;
  size_t run_idx = 0;
  for (size_t pos = 0; pos < text.size();) {
    while (pos >= runs[run_idx].end) ++run_idx;
    SpecialTokens::Match match;
    if (special.CanStart(text[pos])) {
      match = special.At(text, pos, runs[run_idx].literal ? pos : runs[run_idx].end);
    }
    if (match.id < 0) {
      ++pos;
      continue;
    }
    std::string_view plain = text.substr(plain_begin, pos - plain_begin);
    if ((match.strips & kStripLeft) != 0) plain = WithoutSpaceAtEnd(plain);
    SHOAL_RETURN_IF_ERROR(EncodePlain(plain, plain_begin == 0, &ids));
    ids.push_back(match.id);
    pos += match.length;
    if ((match.strips & kStripRight) != 0)
      pos = text.size() - WithoutSpaceAtStart(text.substr(pos)).size();
    plain_begin = pos;
  }
  SHOAL_RETURN_IF_ERROR(EncodePlain(text.substr(plain_begin), plain_begin == 0, &ids));
  return ids;
}

void Tokenizer::Impl::FindEndTokens() {
  if (vocabulary.eos_id >= 0) end_ids.insert(vocabulary.eos_id);
  if (vocabulary.eot_id >= 0) end_ids.insert(vocabulary.eot_id);
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.types[id] != TokenType::kControl) continue;
    if (IsEndText(vocabulary.tokens[id])) end_ids.insert(static_cast<int32_t>(id));
  }
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Create(Vocabulary vocabulary) {
  const bool unigram = vocabulary.model == "t5";
  const bool pieces = vocabulary.model == "llama" || unigram;
  if (vocabulary.model != "gpt2" && !pieces) {
    return absl::UnimplementedError(
        absl::StrCat("tokenizer.ggml.model=\"", vocabulary.model,
                     "\" is not a known kind of tokenizer; known: gpt2 (byte-level BPE), llama "
                     "(SentencePiece BPE), t5 (SentencePiece unigram)"));
  }
  SHOAL_RETURN_IF_ERROR(CheckIds(vocabulary));
  SHOAL_RETURN_IF_ERROR(CheckSizes(vocabulary));
  auto impl = std::make_unique<Impl>(std::move(vocabulary));
  const Vocabulary& data = impl->vocabulary;
  if (pieces) {
    SHOAL_ASSIGN_OR_RETURN(impl->spelling, PieceSpelling::Create(data));
  } else {
    SHOAL_ASSIGN_OR_RETURN(impl->splitter, PreTokenizer::Create(data.pre));
  }
  impl->bytes.reserve(data.tokens.size());
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    impl->bytes.push_back((pieces ? BytesOfPiece : BytesOfToken)(data.tokens[id], data.types[id]));
  }
  if (unigram) {
    SHOAL_ASSIGN_OR_RETURN(impl->unigram, Unigram::Create(data));
  } else {
    impl->words = pieces && FallsIntoWords(data);
    SHOAL_ASSIGN_OR_RETURN(impl->pairs,
                           BytePairs::Create(data, pieces ? data.tokens : impl->bytes));
  }
  impl->FindEndTokens();
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(impl)));
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(std::string_view text,
                                                       bool parse_special) const {
  return impl_->EncodeRuns(text, {{text.size(), !parse_special}});
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::EncodePieces(
    std::span<const PromptPiece> pieces) const {
  std::string text;
  std::vector<Run> runs;
  for (const PromptPiece& piece : pieces) {
    if (piece.text.empty()) continue;
    text += piece.text;
    if (runs.empty() || runs.back().literal != piece.literal) runs.push_back({0, piece.literal});
    runs.back().end = text.size();
  }
  return impl_->EncodeRuns(text, runs);
}

std::string_view Tokenizer::TokenBytes(int32_t id) const {
  if (id < 0 || id >= vocab_size()) return {};
  return impl_->bytes[static_cast<size_t>(id)];
}

std::string Tokenizer::Decode(std::span<const int32_t> ids) const {
  Detokenizer stream(this, {.keep_special = true});
  std::string text;
  for (const int32_t id : ids) text += stream.Add(id);
  return text + stream.Flush();
}

bool Tokenizer::IsByte(int32_t id) const {
  return impl_->splitter == nullptr && id >= 0 && id < vocab_size() &&
         impl_->vocabulary.types[static_cast<size_t>(id)] == TokenType::kByte;
}

bool Tokenizer::IsEndOfGeneration(int32_t id) const { return impl_->end_ids.contains(id); }

bool Tokenizer::IsControl(int32_t id) const {
  return id >= 0 && id < vocab_size() &&
         impl_->vocabulary.types[static_cast<size_t>(id)] == TokenType::kControl;
}

int Tokenizer::vocab_size() const { return static_cast<int>(impl_->vocabulary.tokens.size()); }

const Vocabulary& Tokenizer::vocabulary() const { return impl_->vocabulary; }

bool IsEndText(std::string_view text) {
  return std::find(std::begin(kEndTexts), std::end(kEndTexts), text) != std::end(kEndTexts);
}

}  // namespace shoal
