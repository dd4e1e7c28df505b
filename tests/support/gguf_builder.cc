#include "tests/support/gguf_builder.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace shoal {
namespace {

constexpr uint32_t kUint32 = 4, kInt32 = 5, kFloat32 = 6, kBool = 7, kString = 8, kArray = 9;

template <typename T>
std::string Bytes(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

std::string ArrayHead(uint32_t element, uint64_t count) { return Le32(element) + Le64(count); }

uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

// One step of a linear congruential generator: only has to differ from element to element.
uint32_t Next(uint32_t& state) {
  state = state * 1664525U + 1013904223U;
  return state >> 8;
}

template <typename T>
T& Named(std::vector<T>& items, std::string_view name) {
  const auto found =
      std::find_if(items.begin(), items.end(), [name](const T& item) { return item.name == name; });
  SHOAL_CHECK(found != items.end());
  return *found;
}

}  // namespace

std::string Le32(uint32_t value) { return Bytes(value); }
std::string Le64(uint64_t value) { return Bytes(value); }
std::string GgufText(std::string_view text) { return Le64(text.size()) + std::string(text); }

void GgufBuilder::AddUint32(std::string name, uint32_t value) {
  keys.push_back({std::move(name), kUint32, Bytes(value)});
}

void GgufBuilder::AddFloat32(std::string name, float value) {
  keys.push_back({std::move(name), kFloat32, Bytes(value)});
}

void GgufBuilder::AddBool(std::string name, bool value) {
  keys.push_back({std::move(name), kBool, std::string(1, value ? '\1' : '\0')});
}

void GgufBuilder::AddString(std::string name, std::string_view value) {
  keys.push_back({std::move(name), kString, GgufText(value)});
}

void GgufBuilder::AddStrings(std::string name, const std::vector<std::string>& values) {
  std::string bytes = ArrayHead(kString, values.size());
  for (const std::string& value : values) bytes += GgufText(value);
  keys.push_back({std::move(name), kArray, std::move(bytes)});
}

void GgufBuilder::AddInt32s(std::string name, const std::vector<int32_t>& values) {
  std::string bytes = ArrayHead(kInt32, values.size());
  for (const int32_t value : values) bytes += Bytes(value);
  keys.push_back({std::move(name), kArray, std::move(bytes)});
}

void GgufBuilder::AddF32Tensor(std::string name, std::vector<uint64_t> dims) {
  uint64_t n = 1;
  for (const uint64_t dim : dims) n *= dim;
  uint32_t state = 1;
  for (const char c : name) state = state * 31 + static_cast<unsigned char>(c);
  std::string data;
  for (uint64_t i = 0; i < n; ++i) {
    data += Bytes(static_cast<float>(Next(state)) / static_cast<float>(1 << 23) - 1.0F);
  }
  tensors.push_back({std::move(name), std::move(dims), 0, std::move(data), std::nullopt});
}

GgufKey& GgufBuilder::Key(std::string_view name) { return Named(keys, name); }
GgufTensor& GgufBuilder::Tensor(std::string_view name) { return Named(tensors, name); }

void GgufBuilder::RemoveKey(std::string_view name) {
  std::erase_if(keys, [name](const GgufKey& key) { return key.name == name; });
}

void GgufBuilder::RemoveTensor(std::string_view name) {
  std::erase_if(tensors, [name](const GgufTensor& tensor) { return tensor.name == name; });
}

std::string GgufBuilder::BuildHeader() const {
  std::string out = magic + Le32(version);
  out += Le64(n_tensors.value_or(tensors.size())) + Le64(n_keys.value_or(keys.size()));
  for (const GgufKey& key : keys) out += GgufText(key.name) + Le32(key.type) + key.value;
  uint64_t end = 0;
  for (const GgufTensor& tensor : tensors) {
    out += GgufText(tensor.name) + Le32(static_cast<uint32_t>(tensor.dims.size()));
    for (const uint64_t dim : tensor.dims) out += Le64(dim);
    out += Le32(tensor.type) + Le64(tensor.offset.value_or(end));
    end = AlignUp(end + tensor.data.size(), alignment);
  }
  return out;
}

std::string GgufBuilder::Build() const {
  std::string out = BuildHeader();
  if (!tensors.empty()) out.resize(AlignUp(out.size(), alignment));
  for (const GgufTensor& tensor : tensors) {
    out += tensor.data;
    out.resize(AlignUp(out.size(), alignment));
  }
  return out + tail;
}

GgufBuilder TinyQwen3Moe() {
  GgufBuilder file;
  file.AddString("general.architecture", "qwen3moe");
  file.AddString("general.name", "Tiny MoE");
  file.AddUint32("qwen3moe.block_count", 1);
  file.AddUint32("qwen3moe.context_length", 128);
  file.AddUint32("qwen3moe.embedding_length", 8);
  file.AddUint32("qwen3moe.attention.head_count", 2);
  file.AddUint32("qwen3moe.attention.head_count_kv", 1);
  file.AddUint32("qwen3moe.attention.key_length", 4);
  file.AddUint32("qwen3moe.attention.value_length", 4);
  file.AddUint32("qwen3moe.expert_count", 4);
  file.AddUint32("qwen3moe.expert_used_count", 2);
  file.AddUint32("qwen3moe.expert_feed_forward_length", 8);
  file.AddFloat32("qwen3moe.rope.freq_base", 10000.0F);
  file.AddFloat32("qwen3moe.attention.layer_norm_rms_epsilon", 1e-6F);
  file.AddString("tokenizer.ggml.model", "gpt2");
  file.AddString("tokenizer.ggml.pre", "qwen2");
  file.AddStrings("tokenizer.ggml.tokens", {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k",
                                            "l", "ab", "cd", "abcd", "<|end|>"});
  file.AddInt32s("tokenizer.ggml.token_type", {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3});
  file.AddStrings("tokenizer.ggml.merges", {"a b", "c d", "ab cd"});
  file.AddUint32("tokenizer.ggml.eos_token_id", 15);
  file.AddBool("tokenizer.ggml.add_bos_token", false);
  file.AddString("tokenizer.chat_template", "{{ messages[0].content }}");
  file.AddF32Tensor("token_embd.weight", {8, 16});
  file.AddF32Tensor("blk.0.attn_norm.weight", {8});
  file.AddF32Tensor("blk.0.attn_q.weight", {8, 8});
  file.AddF32Tensor("blk.0.attn_k.weight", {8, 4});
  file.AddF32Tensor("blk.0.attn_v.weight", {8, 4});
  file.AddF32Tensor("blk.0.attn_output.weight", {8, 8});
  file.AddF32Tensor("blk.0.attn_q_norm.weight", {4});
  file.AddF32Tensor("blk.0.attn_k_norm.weight", {4});
  file.AddF32Tensor("blk.0.ffn_norm.weight", {8});
  file.AddF32Tensor("blk.0.ffn_gate_inp.weight", {8, 4});
  file.AddF32Tensor("blk.0.ffn_gate_exps.weight", {8, 8, 4});
  file.AddF32Tensor("blk.0.ffn_up_exps.weight", {8, 8, 4});
  file.AddF32Tensor("blk.0.ffn_down_exps.weight", {8, 8, 4});
  file.AddF32Tensor("output_norm.weight", {8});
  file.AddF32Tensor("output.weight", {8, 16});
  return file;
}

}  // namespace shoal
