#include "model/model_config.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

absl::Status InRange(std::string_view field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(field), " is ", value, ", not in [", low, ", ", high, "]"));
}

absl::Status FiniteAndPositive(std::string_view field, double value) {
  if (std::isfinite(value) && value > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(field), " is ", value, ", not a finite number above 0"));
}

absl::Status CheckDivisors(std::string_view field, const std::vector<float>& divisors, int dim) {
  if (divisors.empty()) return absl::OkStatus();
  if (divisors.size() != static_cast<size_t>(dim) / 2) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(field), " has ", divisors.size(),
                                                   " entries, not rope_dim / 2 = ", dim / 2));
  }
  for (const float divisor : divisors) {
    SHOAL_RETURN_IF_ERROR(
        FiniteAndPositive(absl::StrCat("an entry of ", std::string(field)), divisor));
  }
  return absl::OkStatus();
}

absl::Status CheckRope(const ModelConfig& c) {
  SHOAL_RETURN_IF_ERROR(FiniteAndPositive("rope_theta", c.rope_theta));
  SHOAL_RETURN_IF_ERROR(FiniteAndPositive("rope_magnitude", c.rope_magnitude));
  SHOAL_RETURN_IF_ERROR(CheckDivisors("rope_divisors", c.rope_divisors, c.rope_dim));
  SHOAL_RETURN_IF_ERROR(CheckDivisors("long_rope_divisors", c.long_rope_divisors, c.rope_dim));
  const bool two_lists = !c.long_rope_divisors.empty();
  SHOAL_RETURN_IF_ERROR(InRange("rope_original_context", c.rope_original_context, two_lists ? 1 : 0,
                                two_lists ? kMaxContext : 0));
  SHOAL_RETURN_IF_ERROR(InRange("temperature_floor", c.temperature_floor, 0, kMaxContext));
  if (c.temperature_floor > 0) {
    SHOAL_RETURN_IF_ERROR(FiniteAndPositive("temperature_scale", c.temperature_scale));
  }
  const bool local = std::ranges::any_of(
      c.layers, [](const LayerConfig& layer) { return layer.rope == LayerRope::kLocal; });
  if (!local && c.local_rope_theta == 0) return absl::OkStatus();
  return FiniteAndPositive("local_rope_theta", c.local_rope_theta);
}

absl::Status CheckGates(const ModelConfig& c) {
  if (c.activation == Activation::kClampedSilu) {
    SHOAL_RETURN_IF_ERROR(FiniteAndPositive("swiglu_alpha", c.swiglu_alpha));
    SHOAL_RETURN_IF_ERROR(FiniteAndPositive("swiglu_limit", c.swiglu_limit));
  }
  if (c.gating != Gating::kSparseMixer) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(InRange("top_k of SparseMixer", c.top_k, 2, 2));
  return FiniteAndPositive("router_jitter", c.router_jitter);
}

// A shared expert takes an id and a pick of its own.
absl::Status CheckExperts(const ModelConfig& c) {
  const int n_shared = c.shared_ffn_dim > 0 ? 1 : 0;
  SHOAL_RETURN_IF_ERROR(InRange("n_experts", c.n_experts, 0, kMaxExperts - n_shared));
  SHOAL_RETURN_IF_ERROR(InRange("top_k", c.top_k, c.n_experts > 0 ? 1 : 0,
                                std::min(c.n_experts, kMaxTopK - n_shared)));
  SHOAL_RETURN_IF_ERROR(InRange("ffn_dim", c.ffn_dim, c.n_experts > 0 ? 1 : 0, kMaxDim));
  SHOAL_RETURN_IF_ERROR(
      InRange("shared_ffn_dim", c.shared_ffn_dim, 0, c.n_experts > 0 ? kMaxDim : 0));
  if (!c.layers.empty() && c.layers.size() != static_cast<size_t>(c.n_layers)) {
    return absl::InvalidArgumentError(
        absl::StrCat("layers has ", c.layers.size(), " entries, not n_layers = ", c.n_layers));
  }
  for (const LayerConfig& layer : c.layers) {
    SHOAL_RETURN_IF_ERROR(InRange("window", layer.window, 0, kMaxContext));
    SHOAL_RETURN_IF_ERROR(InRange("chunk", layer.chunk, 0, kMaxContext));
  }
  bool any_dense = false;
  for (int layer = 0; layer < c.n_layers; ++layer) any_dense = any_dense || c.IsDense(layer);
  return InRange("dense_ffn_dim", c.dense_ffn_dim, any_dense ? 1 : 0, any_dense ? kMaxDim : 0);
}

absl::Status CheckRouting(const ModelConfig& c) {
  SHOAL_RETURN_IF_ERROR(InRange("n_expert_groups", c.n_expert_groups, 1, std::max(c.n_experts, 1)));
  SHOAL_RETURN_IF_ERROR(InRange("n_groups_used", c.n_groups_used, 1, c.n_expert_groups));
  SHOAL_RETURN_IF_ERROR(FiniteAndPositive("routed_scale", c.routed_scale));
  if (c.topk_norm_floor != 0) {
    SHOAL_RETURN_IF_ERROR(FiniteAndPositive("topk_norm_floor", c.topk_norm_floor));
  }
  if (c.n_expert_groups == 1) return absl::OkStatus();
  if (c.n_experts % c.n_expert_groups != 0) {
    return absl::InvalidArgumentError(absl::StrCat("n_expert_groups is ", c.n_expert_groups,
                                                   ", which does not divide n_experts ",
                                                   c.n_experts));
  }
  const int group_size = c.n_experts / c.n_expert_groups;
  const int least = c.group_rank == GroupRank::kBestTwo ? 2 : 1;
  SHOAL_RETURN_IF_ERROR(InRange("experts of a group", group_size, least, c.n_experts));
  return InRange("top_k", c.top_k, 1, c.n_groups_used * group_size);
}

absl::Status CheckLatentAttention(const ModelConfig& c) {
  SHOAL_RETURN_IF_ERROR(InRange("kv_lora_rank", c.kv_lora_rank, 0, kMaxDim));
  const int most = c.HasLatentAttention() ? kMaxDim : 0;
  const int least = c.HasLatentAttention() ? 1 : 0;
  SHOAL_RETURN_IF_ERROR(InRange("q_lora_rank", c.q_lora_rank, 0, most));
  SHOAL_RETURN_IF_ERROR(InRange("nope_dim", c.nope_dim, least, most));
  SHOAL_RETURN_IF_ERROR(InRange("v_head_dim", c.v_head_dim, least, most));
  if (!c.HasLatentAttention()) return absl::OkStatus();
  const int64_t query = int64_t{c.nope_dim} + c.rope_dim;
  SHOAL_RETURN_IF_ERROR(InRange("n_heads * (nope_dim + rope_dim)", c.n_heads * query, 1, kMaxDim));
  SHOAL_RETURN_IF_ERROR(
      InRange("n_heads * v_head_dim", int64_t{c.n_heads} * c.v_head_dim, 1, kMaxDim));
  SHOAL_RETURN_IF_ERROR(InRange("n_kv_heads of latent attention", c.n_kv_heads, 1, 1));
  const int row = c.kv_lora_rank + c.rope_dim;
  SHOAL_RETURN_IF_ERROR(InRange("head_dim of latent attention", c.head_dim, row, row));
  return FiniteAndPositive("attention_scale of latent attention", c.attention_scale);
}

absl::Status CheckMixers(const ModelConfig& c) {
  bool any_convolution = false;
  bool any_delta = false;
  for (const LayerConfig& layer : c.layers) {
    any_convolution = any_convolution || layer.mixer != Mixer::kAttention;
    any_delta = any_delta || layer.mixer == Mixer::kDeltaRule;
  }
  SHOAL_RETURN_IF_ERROR(InRange("conv_kernel", c.conv_kernel, any_convolution ? 2 : 0,
                                any_convolution ? kMaxConvKernel : 0));
  const int least = any_delta ? 1 : 0;
  const int most = any_delta ? kMaxDim : 0;
  SHOAL_RETURN_IF_ERROR(InRange("delta_key_heads", c.delta_key_heads, least, most));
  SHOAL_RETURN_IF_ERROR(InRange("delta_value_heads", c.delta_value_heads, least, most));
  SHOAL_RETURN_IF_ERROR(InRange("delta_key_dim", c.delta_key_dim, least, most));
  SHOAL_RETURN_IF_ERROR(InRange("delta_value_dim", c.delta_value_dim, least, most));
  if (!any_delta) return absl::OkStatus();
  if (c.delta_value_heads % c.delta_key_heads != 0) {
    return absl::InvalidArgumentError(absl::StrCat("delta_key_heads is ", c.delta_key_heads,
                                                   ", which does not divide delta_value_heads ",
                                                   c.delta_value_heads));
  }
  const int64_t channels = int64_t{2} * c.delta_key_heads * c.delta_key_dim +
                           int64_t{c.delta_value_heads} * c.delta_value_dim;
  SHOAL_RETURN_IF_ERROR(InRange("channels of the delta rule", channels, 3, kMaxDim));
  // Sizes one sequence's state.
  return InRange("delta_value_heads * delta_key_dim",
                 int64_t{c.delta_value_heads} * c.delta_key_dim, 1, kMaxDim);
}

absl::Status CheckScales(const ModelConfig& c) {
  SHOAL_RETURN_IF_ERROR(CheckRope(c));
  SHOAL_RETURN_IF_ERROR(CheckGates(c));
  SHOAL_RETURN_IF_ERROR(FiniteAndPositive("rms_norm_eps", c.rms_norm_eps));
  SHOAL_RETURN_IF_ERROR(FiniteAndPositive("embedding_scale", c.embedding_scale));
  SHOAL_RETURN_IF_ERROR(FiniteAndPositive("residual_scale", c.residual_scale));
  SHOAL_RETURN_IF_ERROR(FiniteAndPositive("logit_divisor", c.logit_divisor));
  if (c.attention_scale == 0) return absl::OkStatus();
  return FiniteAndPositive("attention_scale", c.attention_scale);
}

absl::Status CheckCounts(const ModelConfig& c) {
  SHOAL_RETURN_IF_ERROR(InRange("n_layers", c.n_layers, 1, kMaxLayers));
  SHOAL_RETURN_IF_ERROR(InRange("hidden_dim", c.hidden_dim, 1, kMaxDim));
  SHOAL_RETURN_IF_ERROR(InRange("n_heads", c.n_heads, 1, kMaxDim));
  SHOAL_RETURN_IF_ERROR(InRange("n_kv_heads", c.n_kv_heads, 1, c.n_heads));
  SHOAL_RETURN_IF_ERROR(InRange("head_dim", c.head_dim, 2, kMaxDim));
  SHOAL_RETURN_IF_ERROR(InRange("n_heads * head_dim", int64_t{c.n_heads} * c.head_dim, 2, kMaxDim));
  SHOAL_RETURN_IF_ERROR(InRange("rope_dim", c.rope_dim, 2, c.head_dim));
  SHOAL_RETURN_IF_ERROR(CheckExperts(c));
  SHOAL_RETURN_IF_ERROR(CheckRouting(c));
  SHOAL_RETURN_IF_ERROR(CheckLatentAttention(c));
  SHOAL_RETURN_IF_ERROR(CheckMixers(c));
  SHOAL_RETURN_IF_ERROR(InRange("vocab_size", c.vocab_size, 1, kMaxVocab));
  return InRange("context_length", c.context_length, 1, kMaxContext);
}

}  // namespace

absl::Status ValidateConfig(const ModelConfig& config) {
  SHOAL_RETURN_IF_ERROR(CheckCounts(config));
  if (config.n_heads % config.n_kv_heads != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "n_kv_heads is ", config.n_kv_heads, ", which does not divide n_heads ", config.n_heads));
  }
  if (config.rope_dim % 2 != 0) {
    return absl::InvalidArgumentError(absl::StrCat("rope_dim is ", config.rope_dim,
                                                   ", which is odd; rotary embedding turns pairs"));
  }
  return CheckScales(config);
}

int ModelConfig::NumExperts(int layer) const {
  return IsDense(layer) ? 1 : n_experts + (shared_ffn_dim > 0 ? 1 : 0);
}

int ModelConfig::MaxExperts() const {
  return std::max(1, n_experts + (shared_ffn_dim > 0 ? 1 : 0));
}

int ModelConfig::NumPicks(int layer) const {
  return IsDense(layer) ? 1 : top_k + (shared_ffn_dim > 0 ? 1 : 0);
}

int ModelConfig::MaxPicks() const { return std::max(1, top_k + (shared_ffn_dim > 0 ? 1 : 0)); }

int ModelConfig::ExpertWidth(int layer, int expert) const {
  if (IsDense(layer)) return dense_ffn_dim;
  return expert < n_experts ? ffn_dim : shared_ffn_dim;
}

int ModelConfig::MaxExpertWidth() const {
  return std::max({ffn_dim, dense_ffn_dim, shared_ffn_dim});
}

}  // namespace shoal
