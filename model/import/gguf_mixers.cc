#include "model/import/gguf_mixers.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

constexpr const char* kKvHeads = "attention.head_count_kv";
constexpr int kUsualInterval = 4;  // Of Qwen3-Next, where no key says another.

class MixersReader {
 public:
  MixersReader(const GgufKeys& keys, const Family& family, ModelConfig* config)
      : keys_(keys), family_(family), config_(*config) {}

  absl::Status Read() {
    SHOAL_RETURN_IF_ERROR(ReadKvHeads());
    if (Has(TensorRole::kAttnKvA)) {
      SHOAL_RETURN_IF_ERROR(ReadLatentAttention());
    } else {
      SHOAL_RETURN_IF_ERROR(
          keys_.RequireCount("attention.value_length", static_cast<uint64_t>(config_.head_dim)));
    }
    const bool any_convolution = std::ranges::any_of(config_.layers, [](const LayerConfig& layer) {
      return layer.mixer == Mixer::kShortConvolution;
    });
    if (any_convolution) {
      SHOAL_ASSIGN_OR_RETURN(config_.conv_kernel, keys_.ReadCount("shortconv.l_cache"));
    }
    return Has(TensorRole::kDeltaQkv) ? ReadDeltaRule() : absl::OkStatus();
  }

 private:
  bool Has(TensorRole role) const { return FindSpec(family_, role) != nullptr; }

  // One number, or one for each layer: then those with 0 are convolutions.
  absl::Status ReadKvHeads() {
    if (!keys_.file().ArrayLength(keys_.Key(kKvHeads)).ok()) {
      SHOAL_ASSIGN_OR_RETURN(config_.n_kv_heads, keys_.ReadCountOr(kKvHeads, config_.n_heads));
      return absl::OkStatus();
    }
    SHOAL_ASSIGN_OR_RETURN(const std::vector<int64_t> heads,
                           keys_.file().GetInts(keys_.Key(kKvHeads)));
    const int64_t most = heads.empty() ? 0 : *std::max_element(heads.begin(), heads.end());
    const bool alike = std::ranges::all_of(
        heads, [&](int64_t n) { return n == most || (n == 0 && Has(TensorRole::kConv)); });
    if (heads.size() != static_cast<size_t>(config_.n_layers) || !alike || most > INT_MAX) {
      return keys_.Refuse(absl::StrCat(
          "key ", Quoted(keys_.Key(kKvHeads)), " has ", heads.size(), " elements for ",
          config_.n_layers,
          " layers, or some that differ; all layers with attention have the same number here"));
    }
    config_.n_kv_heads = static_cast<int>(most);
    for (int layer = 0; layer < config_.n_layers; ++layer) {
      if (heads[static_cast<size_t>(layer)] != 0) continue;
      config_.MutableLayer(layer).mixer = Mixer::kShortConvolution;
    }
    return absl::OkStatus();
  }

  absl::Status ReadLatentAttention() {
    SHOAL_ASSIGN_OR_RETURN(config_.kv_lora_rank, keys_.ReadCount("attention.kv_lora_rank"));
    SHOAL_ASSIGN_OR_RETURN(config_.q_lora_rank, keys_.ReadCountOr("attention.q_lora_rank", 0));
    SHOAL_ASSIGN_OR_RETURN(config_.rope_dim, keys_.ReadCount("rope.dimension_count"));
    // Files from before May 2025 count the heads of keys and values that the latent stands for.
    const bool counts_rows = keys_.Has("attention.key_length_mla");
    const std::string suffix = counts_rows ? "_mla" : "";
    SHOAL_ASSIGN_OR_RETURN(const int query, keys_.ReadCount("attention.key_length" + suffix));
    SHOAL_ASSIGN_OR_RETURN(config_.v_head_dim, keys_.ReadCount("attention.value_length" + suffix));
    if (counts_rows) {
      SHOAL_RETURN_IF_ERROR(keys_.RequireCount("attention.value_length",
                                               static_cast<uint64_t>(config_.kv_lora_rank)));
    } else {
      config_.n_kv_heads = 1;
      config_.head_dim =
          std::min(config_.kv_lora_rank, kMaxDim) + std::min(config_.rope_dim, kMaxDim);
    }
    config_.nope_dim = query - config_.rope_dim;
    SHOAL_ASSIGN_OR_RETURN(const double magnitude, ScoresMagnitude());
    config_.attention_scale = static_cast<float>(magnitude * magnitude / std::sqrt(query));
    return absl::OkStatus();
  }

  // YaRN's, with the file's multiplier of the logarithm.
  absl::StatusOr<double> ScoresMagnitude() const {
    SHOAL_ASSIGN_OR_RETURN(const double factor, keys_.ReadFloatOr("rope.scaling.factor", 1));
    SHOAL_ASSIGN_OR_RETURN(const double multiplier,
                           keys_.ReadFloatOr("rope.scaling.yarn_log_multiplier", 0));
    return factor <= 1 ? 1 : multiplier * std::log(factor) + 1;
  }

  // The file counts in the terms of state-space models.
  absl::Status ReadDeltaRule() {
    SHOAL_ASSIGN_OR_RETURN(const int interval,
                           keys_.ReadCountOr("full_attention_interval", kUsualInterval));
    if (interval < 1) {
      return keys_.Refuse(
          absl::StrCat("key ", Quoted(keys_.Key("full_attention_interval")), " is 0, below 1"));
    }
    config_.attention_gate = true;
    bool any = false;
    for (int layer = 0; layer < config_.n_layers; ++layer) {
      if ((layer + 1) % interval == 0) continue;
      config_.MutableLayer(layer).mixer = Mixer::kDeltaRule;
      any = true;
    }
    if (!any) return absl::OkStatus();
    SHOAL_ASSIGN_OR_RETURN(config_.conv_kernel, keys_.ReadCount("ssm.conv_kernel"));
    SHOAL_ASSIGN_OR_RETURN(config_.delta_key_dim, keys_.ReadCount("ssm.state_size"));
    SHOAL_ASSIGN_OR_RETURN(config_.delta_key_heads, keys_.ReadCount("ssm.group_count"));
    SHOAL_ASSIGN_OR_RETURN(config_.delta_value_heads, keys_.ReadCount("ssm.time_step_rank"));
    SHOAL_ASSIGN_OR_RETURN(const int n_values, keys_.ReadCount("ssm.inner_size"));
    if (config_.delta_value_heads < 1 || n_values % config_.delta_value_heads != 0) {
      return keys_.Refuse(absl::StrCat("key ", Quoted(keys_.Key("ssm.inner_size")), " is ",
                                       n_values, ", not a multiple of the ",
                                       config_.delta_value_heads, " heads"));
    }
    config_.delta_value_dim = n_values / config_.delta_value_heads;
    return absl::OkStatus();
  }

  const GgufKeys& keys_;
  const Family& family_;
  ModelConfig& config_;
};

}  // namespace

absl::Status ReadMixers(const GgufKeys& keys, const Family& family, ModelConfig* config) {
  return MixersReader(keys, family, config).Read();
}

}  // namespace shoal
