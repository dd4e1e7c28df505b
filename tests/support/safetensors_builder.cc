#include "tests/support/safetensors_builder.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/support/gguf_builder.h"

namespace shoal {

void SafetensorsBuilder::AddF32(const std::string& name, const std::vector<uint64_t>& shape) {
  GgufBuilder values;
  values.AddF32Tensor(name, {shape.rbegin(), shape.rend()});
  tensors.push_back({.name = name,
                     .dtype = "F32",
                     .shape = shape,
                     .data = values.tensors[0].data,
                     .begin = {},
                     .end = {},
                     .fields = {}});
}

SafetensorsBuilder::Tensor& SafetensorsBuilder::Find(std::string_view name) {
  for (Tensor& tensor : tensors) {
    if (tensor.name == name) return tensor;
  }
  throw std::runtime_error("no tensor " + std::string(name));
}

void SafetensorsBuilder::Remove(std::string_view name) {
  std::erase_if(tensors, [&](const Tensor& tensor) { return tensor.name == name; });
}

std::string SafetensorsBuilder::Build() const {
  std::string json = "{\"__metadata__\": {\"format\": \"pt\"}";
  std::string data;
  for (const Tensor& tensor : tensors) {
    const uint64_t begin = tensor.begin.value_or(data.size());
    absl::StrAppend(&json, ", \"", tensor.name, "\": {\"dtype\": \"", tensor.dtype,
                    "\", \"shape\": [", absl::StrJoin(tensor.shape, ", "), "], \"data_offsets\": [",
                    begin, ", ", tensor.end.value_or(begin + tensor.data.size()), "]",
                    tensor.fields, "}");
    data += tensor.data;
  }
  json += extra + "}";
  if (header) json = *header;
  return absl::StrCat(Le64(header_size.value_or(json.size())), json, data, tail);
}

TinyCheckpoint::TinyCheckpoint()
    : config{{"architectures", R"(["Qwen3MoeForCausalLM"])"},
             {"model_type", "\"qwen3_moe\""},
             {"hidden_act", "\"silu\""},
             {"hidden_size", "8"},
             {"num_hidden_layers", "1"},
             {"num_attention_heads", "2"},
             {"num_key_value_heads", "1"},
             {"head_dim", "4"},
             {"num_experts", "4"},
             {"num_experts_per_tok", "2"},
             {"moe_intermediate_size", "8"},
             {"norm_topk_prob", "true"},
             {"vocab_size", "16"},
             {"max_position_embeddings", "64"},
             {"rope_theta", "10000.0"},
             {"rms_norm_eps", "1e-6"}} {
  const std::string layer = "model.layers.0.";
  weights.AddF32("model.embed_tokens.weight", {16, 8});
  weights.AddF32("model.norm.weight", {8});
  weights.AddF32("lm_head.weight", {16, 8});
  weights.AddF32(layer + "input_layernorm.weight", {8});
  weights.AddF32(layer + "post_attention_layernorm.weight", {8});
  weights.AddF32(layer + "self_attn.q_proj.weight", {8, 8});
  weights.AddF32(layer + "self_attn.k_proj.weight", {4, 8});
  weights.AddF32(layer + "self_attn.v_proj.weight", {4, 8});
  weights.AddF32(layer + "self_attn.o_proj.weight", {8, 8});
  weights.AddF32(layer + "self_attn.q_norm.weight", {4});
  weights.AddF32(layer + "self_attn.k_norm.weight", {4});
  weights.AddF32(layer + "mlp.gate.weight", {4, 8});
  for (int e = 0; e < 4; ++e) {
    for (const char* role : {"gate", "up", "down"}) {
      weights.AddF32(absl::StrCat(layer, "mlp.experts.", e, ".", role, "_proj.weight"), {8, 8});
    }
  }
}

std::string TinyCheckpoint::ConfigText() const {
  return absl::StrCat("{",
                      absl::StrJoin(config, ", ",
                                    [](std::string* out, const auto& entry) {
                                      absl::StrAppend(out, "\"", entry.first, "\": ", entry.second);
                                    }),
                      "}");
}

void TinyCheckpoint::Write(const std::string& folder) const {
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/config.json", std::ios::binary) << ConfigText();
  std::ofstream(folder + "/model.safetensors", std::ios::binary) << weights.Build();
}

}  // namespace shoal
