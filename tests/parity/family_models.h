#pragma once

namespace shoal {

// Folders of tests/data/models: one model at least for every family of model/families/.
inline constexpr const char* kFamilyModels[] = {"deepseek_v2",    "deepseek_v2_lite",
                                                "deepseek_v3",    "ernie4_5_moe",
                                                "gemma3",         "gemma3_large",
                                                "glm4_7_flash",   "glm4_moe",
                                                "gpt_oss",        "granite",
                                                "granitemoe",     "granitemoeshared",
                                                "hunyuan_v1_moe", "internlm2",
                                                "kimi_k2",        "lfm2_moe",
                                                "llama",          "llama32",
                                                "llama4",         "mistral",
                                                "mixtral",        "olmoe",
                                                "phi3",           "phi3_window",
                                                "phi4_mini",      "phimoe",
                                                "qwen2",          "qwen2_moe",
                                                "qwen3",          "qwen3_moe",
                                                "qwen3_next",     "smollm3"};

// Those of them, and others, that are there as Hugging Face folders too, with their expectations.
struct FolderModel {
  const char* name;
  const char* expected = "expected.safetensors";
};
inline constexpr FolderModel kFolderModels[] = {{"deepseek_v2"},
                                                {"deepseek_v2_lite"},
                                                {"deepseek_v3"},
                                                {"ernie4_5_moe"},
                                                {"gemma3"},
                                                {"gemma3_large"},
                                                {"glm4_7_flash"},
                                                {"glm4_moe"},
                                                {"gpt_oss"},
                                                {"granite"},
                                                {"granitemoe"},
                                                {"granitemoeshared"},
                                                {"hunyuan_v1_moe"},
                                                {"internlm2"},
                                                {"kimi_k2"},
                                                {"lfm2_moe"},
                                                {"llama"},
                                                {"llama32"},
                                                {"llama4", "expected-chunks.safetensors"},
                                                {"mistral", "expected-window.safetensors"},
                                                {"mixtral"},
                                                {"olmoe"},
                                                {"phi3"},
                                                {"phi3_window"},
                                                {"phi4_mini"},
                                                {"phimoe"},
                                                {"qwen2"},
                                                {"qwen2_moe"},
                                                {"qwen3"},
                                                {"qwen3_moe"},
                                                {"qwen3_moe_mixed"},
                                                {"qwen3_next"},
                                                {"smollm3"}};

}  // namespace shoal
