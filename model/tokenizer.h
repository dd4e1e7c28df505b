#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/vocabulary.h"

namespace shoal {

// A stretch of a prompt. Literal text came from a user: special tokens spelled in it stay text.
struct PromptPiece {
  std::string text;
  bool literal = false;
};

// Text to token ids and back: BPE (Sennrich et al. 2016, arXiv:1508.07909), byte-level with GPT-2's
// alphabet or SentencePiece's with bytes for what has no piece; or SentencePiece's unigrams (Kudo
// 2018, arXiv:1804.10959). Immutable, thread-safe.
class Tokenizer {
 public:
  // InvalidArgument when a merge names no token or an id is out of range; Unimplemented for an
  // unknown model or pre-tokenizer, with the list of known ones.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Create(Vocabulary vocabulary);
  ~Tokenizer();

  // Ids of `text`, no BOS or EOS added. With parse_special, text that spells a control token
  // becomes that token; user-defined tokens are recognised either way.
  // InvalidArgument when `text` is not UTF-8.
  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text, bool parse_special) const;

  // Ids of a rendered prompt: special tokens are recognised in all but literal pieces. Stretches of
  // plain text merge across the borders of pieces as if they were one text.
  absl::StatusOr<std::vector<int32_t>> EncodePieces(std::span<const PromptPiece> pieces) const;

  // Bytes of one token, special tokens by their text; empty for an id outside the vocabulary.
  std::string_view TokenBytes(int32_t id) const;
  // Text of ids; bytes that are no UTF-8 become U+FFFD.
  std::string Decode(std::span<const int32_t> ids) const;

  // Whether `id` ends an answer: eos, eot, or a control token known by its text.
  bool IsEndOfGeneration(int32_t id) const;
  bool IsControl(int32_t id) const;
  // Whether `id` is a byte of a character that has no piece. The text of a run of them is known
  // only at its end: if it is not UTF-8 as a whole, each byte becomes U+FFFD.
  bool IsByte(int32_t id) const;
  int vocab_size() const;
  const Vocabulary& vocabulary() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Whether a control token of this text ends an answer in every model that has one.
bool IsEndText(std::string_view text);

// Turns a stream of ids into a stream of whole UTF-8 characters. Thread-compatible.
class Detokenizer {
 public:
  struct Options {
    bool keep_special = false;  // Control tokens give their text, not nothing.
    bool continues = false;     // The ids go on with a text: a space at their start belongs to it.
  };
  // `tokenizer` outlives this.
  Detokenizer(const Tokenizer* tokenizer, Options options);
  explicit Detokenizer(const Tokenizer* tokenizer) : Detokenizer(tokenizer, Options()) {}

  // The characters that `id` completes; the tail of a cut character is held back.
  std::string Add(int32_t id);
  // What was held back, invalid bytes as U+FFFD.
  std::string Flush();

 private:
  void EndRun(std::string* text);
  std::string WithoutPrefix(std::string text);

  const Tokenizer* tokenizer_;
  Options options_;
  DecodeStrip strip_;  // Of what comes next.
  std::string run_;    // Byte tokens not yet given out.
  std::string pending_;
};

}  // namespace shoal
