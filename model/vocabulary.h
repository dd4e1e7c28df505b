#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace shoal {

// Token types, numbered as GGUF's tokenizer.ggml.token_type.
enum class TokenType : uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

// Whether a stretch of text between special tokens gets a space before it (SentencePiece).
enum class SpacePrefix : uint8_t {
  kNone = 0,
  kAlways = 1,            // Every stretch that is not empty.
  kUnlessSpace = 2,       // Every one that does not begin with a space.
  kFirstUnlessSpace = 3,  // Likewise, and only at the start of the text.
};

// What becomes of spaces in a row before pieces are looked for (SentencePiece).
enum class SpaceRuns : uint8_t {
  kKept = 0,
  kOne = 1,       // One; none at the end, nor at the start but as space_prefix says.
  kWhiteOne = 2,  // Likewise, and all white space counts as spaces.
};

// What decoding takes away at the start of a text.
enum class DecodeStrip : uint8_t {
  kNothing = 0,
  kSpace = 1,       // One space.
  kFirstToken = 2,  // Every space of the first token.
};

// White space beside a special token that belongs to it.
enum StripFlags : uint8_t { kStripLeft = 1, kStripRight = 2 };

// A tokenizer's data as a model file gives it, checked for counts and ranges but not yet indexed.
struct Vocabulary {
  // "gpt2" is byte-level BPE, "llama" SentencePiece's BPE, "t5" its unigrams.
  std::string model;
  std::string pre;                  // tokenizer.ggml.pre: "qwen2", "default", "gpt-2".
  std::vector<std::string> tokens;  // Text by id, in byte-level BPE's printable alphabet.
  std::vector<TokenType> types;     // Same length.
  std::vector<std::string> merges;  // "left right", best first.
  std::vector<double> scores;       // By id, best highest, where merges are not given; or empty.
  std::vector<uint8_t> strips;      // StripFlags by id; or empty: none.
  int32_t bos_id = -1;              // -1: none.
  int32_t eos_id = -1;
  int32_t eot_id = -1;  // End of a turn, where it differs from eos.
  int32_t unk_id = -1;
  int32_t pad_id = -1;
  bool add_bos = false;
  bool nfc = false;            // Text is brought to Unicode's composed form first.
  bool ignore_merges = false;  // A piece that is a token is that token, whatever merges give.
  bool fuse_unk = true;        // Characters without a piece in a row are one unknown token.
  bool cut_words = false;      // Every space begins a word, and no token goes beyond one.
  // Where Hugging Face's tokenizers and sentencepiece differ, as the former: a unigram's scores add
  // up in f64, not f32, and the character map sees grapheme clusters.
  bool hf_rules = false;
  SpacePrefix space_prefix = SpacePrefix::kNone;
  SpaceRuns space_runs = SpaceRuns::kKept;
  DecodeStrip decode_strip = DecodeStrip::kNothing;
  std::string charsmap;  // SentencePiece's precompiled character map; or empty.
};

}  // namespace shoal
