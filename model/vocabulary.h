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

// A tokenizer's data as a model file gives it, checked for counts and ranges but not yet indexed.
struct Vocabulary {
  std::string model;                // tokenizer.ggml.model: "gpt2" is byte-level BPE.
  std::string pre;                  // tokenizer.ggml.pre: "qwen2", "default", "gpt-2".
  std::vector<std::string> tokens;  // Text by id, in byte-level BPE's printable alphabet.
  std::vector<TokenType> types;     // Same length.
  std::vector<std::string> merges;  // "left right", best first.
  int32_t bos_id = -1;              // -1: none.
  int32_t eos_id = -1;
  int32_t eot_id = -1;  // End of a turn, where it differs from eos.
  int32_t unk_id = -1;
  int32_t pad_id = -1;
  bool add_bos = false;
};

}  // namespace shoal
