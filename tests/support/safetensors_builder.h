#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shoal {

// Writes small safetensors files for tests, sound ones and, through its public fields, unsound
// ones.
struct SafetensorsBuilder {
  struct Tensor {
    std::string name;
    std::string dtype;
    std::vector<uint64_t> shape;
    std::string data;
    std::optional<uint64_t> begin;  // By default after the tensor before.
    std::optional<uint64_t> end;    // By default begin and the data's size.
    std::string fields;             // Further members of its object: ", \"x\": 1".
  };
  std::vector<Tensor> tensors;
  std::string extra;                    // Further members of the header: ", \"x\": {}".
  std::optional<std::string> header;    // Instead of the tensors' own.
  std::optional<uint64_t> header_size;  // What the file claims.
  std::string tail;                     // After the data.

  // F32 values between -1 and 1 that depend on the name only, as GgufBuilder's.
  void AddF32(const std::string& name, const std::vector<uint64_t>& shape);
  Tensor& Find(std::string_view name);  // Must be there.
  void Remove(std::string_view name);
  std::string Build() const;
};

// A whole Hugging Face folder of a model of type qwen3_moe, without a tokenizer: one layer, hidden
// 8, 2 heads over 1 kv head of 4, 4 experts top-2 of width 8, 16 tokens, all F32. The values of
// `config` are JSON.
struct TinyCheckpoint {
  TinyCheckpoint();
  std::map<std::string, std::string> config;
  SafetensorsBuilder weights;

  std::string ConfigText() const;
  // Writes config.json and model.safetensors into `folder`, which it makes.
  void Write(const std::string& folder) const;
};

}  // namespace shoal
