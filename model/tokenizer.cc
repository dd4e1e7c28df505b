#include "model/tokenizer.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/byte_pairs.h"
#include "model/pre_tokenizer.h"
#include "model/special_tokens.h"
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

  // Ids of a stretch without special tokens.
  absl::Status EncodePlain(std::string_view text, std::vector<int32_t>* ids) const {
    const auto emit = [&](std::string_view piece) { pairs->Encode(piece, ids); };
    const bool ascii = std::all_of(text.begin(), text.end(),
                                   [](char c) { return static_cast<uint8_t>(c) < 0x80; });
    if (ascii || !splitter->normalizes()) return splitter->Split(text, emit);
    SHOAL_ASSIGN_OR_RETURN(const std::string composed, PreTokenizer::Normalize(text));
    return splitter->Split(composed, emit);
  }

  absl::StatusOr<std::vector<int32_t>> EncodeRuns(std::string_view text,
                                                  const std::vector<Run>& runs) const;
  void FindEndTokens();

  const Vocabulary vocabulary;
  const SpecialTokens special;
  std::vector<std::string> bytes;  // By id.
  std::unique_ptr<BytePairs> pairs;
  std::unique_ptr<PreTokenizer> splitter;
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
    SHOAL_RETURN_IF_ERROR(EncodePlain(text.substr(plain_begin, pos - plain_begin), &ids));
    ids.push_back(match.id);
    pos = plain_begin = pos + match.length;
  }
  SHOAL_RETURN_IF_ERROR(EncodePlain(text.substr(plain_begin), &ids));
  return ids;
}

void Tokenizer::Impl::FindEndTokens() {
  if (vocabulary.eos_id >= 0) end_ids.insert(vocabulary.eos_id);
  if (vocabulary.eot_id >= 0) end_ids.insert(vocabulary.eot_id);
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.types[id] != TokenType::kControl) continue;
    for (const char* text : kEndTexts) {
      if (vocabulary.tokens[id] == text) end_ids.insert(static_cast<int32_t>(id));
    }
  }
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Create(Vocabulary vocabulary) {
  if (vocabulary.model != "gpt2") {
    return absl::UnimplementedError(
        absl::StrCat("tokenizer.ggml.model=\"", vocabulary.model,
                     "\" is not a known kind of tokenizer; known: gpt2 (byte-level BPE)"));
  }
  SHOAL_RETURN_IF_ERROR(CheckIds(vocabulary));
  auto impl = std::make_unique<Impl>(std::move(vocabulary));
  const Vocabulary& data = impl->vocabulary;
  SHOAL_ASSIGN_OR_RETURN(impl->splitter, PreTokenizer::Create(data.pre));
  impl->bytes.reserve(data.tokens.size());
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    impl->bytes.push_back(BytesOfToken(data.tokens[id], data.types[id]));
  }
  SHOAL_ASSIGN_OR_RETURN(impl->pairs, BytePairs::Create(data, impl->bytes));
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
  std::string bytes;
  for (const int32_t id : ids) bytes += TokenBytes(id);
  std::string text;
  AppendValidUtf8(bytes, /*final=*/true, &text);
  return text;
}

bool Tokenizer::IsEndOfGeneration(int32_t id) const { return impl_->end_ids.contains(id); }

bool Tokenizer::IsControl(int32_t id) const {
  return id >= 0 && id < vocab_size() &&
         impl_->vocabulary.types[static_cast<size_t>(id)] == TokenType::kControl;
}

int Tokenizer::vocab_size() const { return static_cast<int>(impl_->vocabulary.tokens.size()); }

const Vocabulary& Tokenizer::vocabulary() const { return impl_->vocabulary; }

}  // namespace shoal
