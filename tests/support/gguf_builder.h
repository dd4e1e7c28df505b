#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shoal {

// Writes small GGUF files for tests, sound ones and, through its public fields, unsound ones.
struct GgufKey {
  std::string name;
  uint32_t type = 0;  // GGUF's number.
  std::string value;  // Encoded as it lies in the file.
};

struct GgufTensor {
  std::string name;
  std::vector<uint64_t> dims;  // Innermost first, as the file has them.
  uint32_t type = 0;           // GGML's number.
  std::string data;
  std::optional<uint64_t> offset;  // Into the data; by default after the tensor before.
};

struct GgufBuilder {
  std::string magic = "GGUF";
  uint32_t version = 3;
  uint64_t alignment = 32;         // For the layout; AddUint32 "general.alignment" says so.
  std::optional<uint64_t> n_keys;  // What the preamble claims; by default what is there.
  std::optional<uint64_t> n_tensors;
  std::vector<GgufKey> keys;
  std::vector<GgufTensor> tensors;
  std::string tail;  // After the data.

  void AddUint32(std::string name, uint32_t value);
  void AddFloat32(std::string name, float value);
  void AddBool(std::string name, bool value);
  void AddString(std::string name, std::string_view value);
  void AddStrings(std::string name, const std::vector<std::string>& values);
  void AddInt32s(std::string name, const std::vector<int32_t>& values);
  // F32 values between -1 and 1 that depend on the name only.
  void AddF32Tensor(std::string name, std::vector<uint64_t> dims);

  // The key or tensor of that name, which must be there.
  GgufKey& Key(std::string_view name);
  GgufTensor& Tensor(std::string_view name);
  void RemoveKey(std::string_view name);
  void RemoveTensor(std::string_view name);

  // The file, header and data.
  std::string Build() const;
  // Bytes of it before the tensor data's padding.
  std::string BuildHeader() const;
};

// Encodings of fields, for hand-made values.
std::string Le32(uint32_t value);
std::string Le64(uint64_t value);
std::string GgufText(std::string_view text);

// A whole qwen3moe file of a few kilobytes: one layer, hidden 8, 2 heads over 1 kv head of 4,
// 4 experts top-2 of width 8, 16 tokens with merges, all tensors F32, embeddings not tied.
GgufBuilder TinyQwen3Moe();

}  // namespace shoal
