#pragma once

namespace shoal {

// Folders of tests/data/models: one model at least for every family of model/families/.
inline constexpr const char* kFamilyModels[] = {
    "gemma3",  "gpt_oss", "granitemoe", "hunyuan_v1_moe", "internlm2", "llama",
    "llama32", "mistral", "mixtral",    "olmoe",          "phi3",      "phi3_window",
    "phimoe",  "qwen2",   "qwen2_moe",  "qwen3",          "qwen3_moe"};

// Those of them, and others, that are there as Hugging Face folders too, with their expectations.
struct FolderModel {
  const char* name;
  const char* expected = "expected.safetensors";
};
inline constexpr FolderModel kFolderModels[] = {
    {"gemma3"},         {"gpt_oss"},
    {"granitemoe"},     {"internlm2"},
    {"hunyuan_v1_moe"}, {"llama"},
    {"llama32"},        {"mistral", "expected-window.safetensors"},
    {"mixtral"},        {"olmoe"},
    {"phi3"},           {"phi3_window"},
    {"phimoe"},         {"qwen2"},
    {"qwen2_moe"},      {"qwen3"},
    {"qwen3_moe"},      {"qwen3_moe_mixed"}};

}  // namespace shoal
