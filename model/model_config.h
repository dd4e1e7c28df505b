#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace shoal {

// Which elements of a head turn together: half, i with i + d/2; adjacent, 2i with 2i + 1.
enum class RopePairing : uint8_t { kHalf, kAdjacent };

// RMS norms of q and k: of each head before rope, of each head after it, or of the whole
// projection before it is cut into heads; or of each head after rope without weights, in layers
// that have rope.
enum class QkNorm : uint8_t { kNone, kHead, kHeadAfterRope, kWhole, kUnitAfterRope };

// Norms of whole rows: by the root of the mean square, or LayerNorm, which also has a bias.
enum class NormKind : uint8_t { kRms, kLayer };

// What an expert makes of gate and up: silu(gate) * up, gelu(gate) * up in GELU's tanh form, or the
// clamped form that swiglu_alpha and swiglu_limit are for.
enum class Activation : uint8_t { kSilu, kGelu, kClampedSilu };

// How a row's experts are chosen and weighted: by softmax over all, by SparseMixer (Liu et al.
// 2024, arXiv:2409.12136), two one after the other among those that nearly tie, or by a sigmoid of
// each.
enum class Gating : uint8_t { kSoftmax, kSparseMixer, kSigmoid };

// What groups of experts are ranked by: their best expert, or the sum of their best two.
enum class GroupRank : uint8_t { kBest, kBestTwo };

// Which angles turn the heads of a layer: the model's, those of local_rope_theta, or none.
enum class LayerRope : uint8_t { kModel, kLocal, kNone };

// How a layer lets positions see each other: attention, a short causal convolution with gates
// (LFM2), or the gated delta rule.
enum class Mixer : uint8_t { kAttention, kShortConvolution, kDeltaRule };

// What may differ from layer to layer.
struct LayerConfig {
  bool dense = false;  // One feed-forward block for every row, in a model that has routed experts.
  int window = 0;      // A row sees itself and the window - 1 positions before it; 0: all of them.
  int chunk = 0;       // Positions are cut into chunks; a row sees only its own; 0: they are not.
  LayerRope rope = LayerRope::kModel;
  Mixer mixer = Mixer::kAttention;
  friend bool operator==(const LayerConfig&, const LayerConfig&) = default;
};

// The numbers and options of one model's forward pass, resolved once when a model file is read.
// What a family implies without saying so is filled in from model/families/; whoever computes looks
// at options, never at the family's name.
//
// Whatever feeds forward is an expert: the one block of a dense layer is its expert 0, which every
// row takes with weight 1; a shared expert follows the routed ones, as expert n_experts of its
// layer. So ids of a layer run from 0 to NumExperts(layer) - 1.
struct ModelConfig {
  std::string architecture;  // GGUF general.architecture: "qwen3moe".
  std::string name;          // general.name, may be empty.
  int n_layers = 0;
  int hidden_dim = 0;
  int n_heads = 0;
  int n_kv_heads = 0;
  int head_dim = 0;
  int n_experts = 0;  // Routed ones of a layer; 0: every layer is dense.
  int top_k = 0;      // Routed ones that a row takes.
  int ffn_dim = 0;    // Width of a routed expert.
  int vocab_size = 0;
  int64_t context_length = 0;
  double rope_theta = 0;
  float rms_norm_eps = 0;
  RopePairing rope_pairing = RopePairing::kHalf;
  QkNorm qk_norm = QkNorm::kNone;
  bool norm_topk_prob = false;   // The chosen experts' weights are divided by their sum.
  bool tied_embeddings = false;  // The output head is the embedding.
  int dense_ffn_dim = 0;         // Width of a dense layer's block.
  int shared_ffn_dim = 0;        // Width of the shared expert; 0: there is none.
  bool shared_gate = false;      // The shared expert's weight is sigmoid(w . x), otherwise 1.
  int rope_dim = 0;              // The first that many elements of a head turn.
  // [rope_dim / 2] or empty: what the frequency of each pair is divided by,
  std::vector<float> rope_divisors;
  // and, where not empty, in sequences that may grow longer than rope_original_context.
  std::vector<float> long_rope_divisors;
  int rope_original_context = 0;
  float rope_magnitude = 1;     // Cosines and sines are multiplied by it.
  double local_rope_theta = 0;  // Of layers with LayerRope::kLocal; nothing else applies to them.
  // In layers without rope, queries at position p are multiplied by
  // 1 + temperature_scale * ln(1 + floor((p + 1) / temperature_floor)); with a floor of 0 by
  // nothing.
  int temperature_floor = 0;
  float temperature_scale = 0;
  float attention_scale = 0;  // Of scores; 0: 1 / sqrt(head_dim).
  float embedding_scale = 1;  // Embeddings are multiplied by it,
  float residual_scale = 1;   // what a block adds to the residual stream is,
  float logit_divisor = 1;    // and logits are divided by this.
  NormKind norm = NormKind::kRms;
  Activation activation = Activation::kSilu;
  float swiglu_alpha = 0;  // Of Activation::kClampedSilu alone, as is the next.
  float swiglu_limit = 0;
  Gating gating = Gating::kSoftmax;
  bool weighted_inputs = false;  // An expert's weight multiplies what it takes, not what it gives.
  float router_jitter = 0;  // Of Gating::kSparseMixer: half of how far below the best still ties.
  // [n_layers], or empty where all layers are alike.
  std::vector<LayerConfig> layers;

  // --- Routing.
  bool choice_bias = false;  // Added to scores when experts are chosen, not when they are weighed.
  int n_expert_groups = 1;   // Consecutive experts of equal number; experts are chosen from
  int n_groups_used = 1;     // that many groups.
  GroupRank group_rank = GroupRank::kBest;
  float topk_norm_floor = 0;  // With norm_topk_prob: added to the sum.
  float routed_scale = 1;     // Chosen experts' weights are multiplied by it, last.

  // --- Latent attention (MLA, DeepSeek 2024, arXiv:2405.04434), if kv_lora_rank > 0. The cache
  // holds one row a position, [kv_lora_rank + rope_dim]: the latent, which is the value too, and
  // the key's rotary part. So n_kv_heads is 1 and head_dim that row's length.
  int kv_lora_rank = 0;
  int q_lora_rank = 0;  // Width between the two matrices that make queries; 0: there is one.
  int nope_dim = 0;     // Of a head's query, what does not turn.
  int v_head_dim = 0;   // Of a head's output.

  // --- Other mixers.
  bool attention_gate = false;  // Attention's output is multiplied by the sigmoid of a gate.
  int conv_kernel = 0;          // Positions that a convolution sees: itself and those before.
  int delta_key_heads = 0;      // Heads of the delta rule; each key head serves the same number
  int delta_value_heads = 0;    // of value heads.
  int delta_key_dim = 0;
  int delta_value_dim = 0;

  // What of the layer is not as in most models.
  LayerConfig Layer(int layer) const {
    return layers.empty() ? LayerConfig{} : layers[static_cast<size_t>(layer)];
  }
  bool IsDense(int layer) const {
    return n_experts == 0 || (!layers.empty() && layers[static_cast<size_t>(layer)].dense);
  }
  bool HasLatentAttention() const { return kv_lora_rank > 0; }
  // Outputs of the delta rule's heads, and channels of its convolution: of q, k and v.
  int DeltaValues() const { return delta_value_heads * delta_value_dim; }
  int DeltaChannels() const { return 2 * delta_key_heads * delta_key_dim + DeltaValues(); }
  Mixer MixerOf(int layer) const { return Layer(layer).mixer; }
  bool HasSharedExpert(int layer) const { return shared_ffn_dim > 0 && !IsDense(layer); }
  // The entry of that layer, made if all have been alike so far.
  LayerConfig& MutableLayer(int layer) {
    layers.resize(static_cast<size_t>(n_layers));
    return layers[static_cast<size_t>(layer)];
  }
  // Experts of a layer, and the most that any layer has.
  int NumExperts(int layer) const;
  int MaxExperts() const;
  // Experts that a row takes in a layer, and the most in any.
  int NumPicks(int layer) const;
  int MaxPicks() const;
  // Rows of an expert's gate matrix, and the most of any.
  int ExpertWidth(int layer, int expert) const;
  int MaxExpertWidth() const;
};

// InvalidArgument naming the field, its value and the bound, if any number is out of range.
absl::Status ValidateConfig(const ModelConfig& config);

}  // namespace shoal
