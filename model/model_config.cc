#include "model/model_config.h"

#include <cmath>
#include <string>
#include <string_view>

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

absl::Status CheckCounts(const ModelConfig& c) {
  SHOAL_RETURN_IF_ERROR(InRange("n_layers", c.n_layers, 1, kMaxLayers));
  SHOAL_RETURN_IF_ERROR(InRange("hidden_dim", c.hidden_dim, 1, kMaxDim));
  SHOAL_RETURN_IF_ERROR(InRange("n_heads", c.n_heads, 1, kMaxDim));
  SHOAL_RETURN_IF_ERROR(InRange("n_kv_heads", c.n_kv_heads, 1, c.n_heads));
  SHOAL_RETURN_IF_ERROR(InRange("head_dim", c.head_dim, 2, kMaxDim));
  SHOAL_RETURN_IF_ERROR(InRange("n_heads * head_dim", int64_t{c.n_heads} * c.head_dim, 2, kMaxDim));
  SHOAL_RETURN_IF_ERROR(InRange("n_experts", c.n_experts, 1, kMaxExperts));
  SHOAL_RETURN_IF_ERROR(
      InRange("top_k", c.top_k, 1, c.n_experts < kMaxTopK ? c.n_experts : kMaxTopK));
  SHOAL_RETURN_IF_ERROR(InRange("ffn_dim", c.ffn_dim, 1, kMaxDim));
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
  if (config.head_dim % 2 != 0) {
    return absl::InvalidArgumentError(absl::StrCat("head_dim is ", config.head_dim,
                                                   ", which is odd; rotary embedding turns pairs"));
  }
  SHOAL_RETURN_IF_ERROR(FiniteAndPositive("rope_theta", config.rope_theta));
  return FiniteAndPositive("rms_norm_eps", config.rms_norm_eps);
}

}  // namespace shoal
