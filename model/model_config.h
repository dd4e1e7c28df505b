#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace shoal {

// Which elements of a head turn together: half, i with i + d/2; adjacent, 2i with 2i + 1.
enum class RopePairing : uint8_t { kHalf, kAdjacent };

// The numbers and options of one model's forward pass. What a family implies without saying so
// (pairing, head norms, renormalization) is filled in from model/families/.
struct ModelConfig {
  std::string architecture;  // GGUF general.architecture: "qwen3moe".
  std::string name;          // general.name, may be empty.
  int n_layers = 0;
  int hidden_dim = 0;
  int n_heads = 0;
  int n_kv_heads = 0;
  int head_dim = 0;
  int n_experts = 0;
  int top_k = 0;
  int ffn_dim = 0;  // Width of one expert.
  int vocab_size = 0;
  int64_t context_length = 0;
  double rope_theta = 0;
  float rms_norm_eps = 0;
  RopePairing rope_pairing = RopePairing::kHalf;
  bool head_norm = false;        // RMS norm of each head of q and k before rope.
  bool norm_topk_prob = false;   // The chosen experts' weights are divided by their sum.
  bool tied_embeddings = false;  // The output head is the embedding.
};

// InvalidArgument naming the field, its value and the bound, if any number is out of range.
absl::Status ValidateConfig(const ModelConfig& config);

}  // namespace shoal
