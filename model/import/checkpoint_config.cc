#include "model/import/checkpoint_config.h"

#include <climits>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/families/family.h"

namespace shoal {
namespace {

struct CountKey {
  std::string_view key;
  int ModelConfig::*field;
};
constexpr CountKey kCountKeys[] = {
    {"num_hidden_layers", &ModelConfig::n_layers},
    {"hidden_size", &ModelConfig::hidden_dim},
    {"num_attention_heads", &ModelConfig::n_heads},
    {"num_experts", &ModelConfig::n_experts},
    {"num_experts_per_tok", &ModelConfig::top_k},
    {"moe_intermediate_size", &ModelConfig::ffn_dim},
    {"vocab_size", &ModelConfig::vocab_size},
};

// Options that would change the forward pass unless they are absent, null or this.
struct Neutral {
  std::string_view key;
  std::string_view value;  // As JsonValues::Text shows it.
};
constexpr Neutral kNeutral[] = {
    {"hidden_act", "'silu'"},
    {"attention_bias", "false"},
    {"mlp_bias", "false"},
    {"use_sliding_window", "false"},
    {"decoder_sparse_step", "1"},
    {"partial_rotary_factor", "1"},
    {"rope_parameters.partial_rotary_factor", "1"},
    {"rope_scaling.type", "'default'"},
    {"rope_scaling.rope_type", "'default'"},
    {"rope_parameters.rope_type", "'default'"},
    {"n_shared_experts", "0"},
    {"num_shared_experts", "0"},
    {"shared_expert_intermediate_size", "0"},
    {"first_k_dense_replace", "0"},
    {"quantization_config.quant_method", "'fp8'"},
    {"quantization_config.fmt", "'e4m3'"},
};
// Options that must be absent, null or empty.
constexpr std::string_view kAbsent[] = {
    "mlp_only_layers.0",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "logit_scale",
    "clip_qkv",
    "text_config",
    "vision_config",
    "audio_config",
};

class ConfigReader {
 public:
  explicit ConfigReader(const JsonValues& file) : file_(file) {}

  absl::StatusOr<ModelConfig> Read() {
    SHOAL_RETURN_IF_ERROR(ReadFamily());
    SHOAL_RETURN_IF_ERROR(RefuseUncomputed());
    for (const CountKey& count : kCountKeys) {
      SHOAL_ASSIGN_OR_RETURN(config_.*count.field, ReadCount(count.key));
    }
    if (config_.n_experts < 1) return Refuse("n_experts is 0, below 1");
    SHOAL_RETURN_IF_ERROR(ReadHeads());
    config_.rope_dim = config_.head_dim;
    SHOAL_ASSIGN_OR_RETURN(config_.context_length, ReadCount("max_position_embeddings"));
    SHOAL_ASSIGN_OR_RETURN(config_.rope_theta, ReadRopeTheta());
    SHOAL_ASSIGN_OR_RETURN(const double eps, FloatOr("rms_norm_eps", 1e-6));
    config_.rms_norm_eps = static_cast<float>(eps);
    SHOAL_ASSIGN_OR_RETURN(config_.norm_topk_prob, BoolOr("norm_topk_prob", false));
    SHOAL_ASSIGN_OR_RETURN(config_.tied_embeddings, BoolOr("tie_word_embeddings", false));
    if (absl::Status s = ValidateConfig(config_); !s.ok()) return Refuse(s.message());
    return std::move(config_);
  }

 private:
  absl::Status Refuse(absl::string_view message) const {
    return absl::InvalidArgumentError(
        absl::StrCat(file_.name(), ": ", message, "; use another model"));
  }

  absl::Status ReadFamily() {
    SHOAL_ASSIGN_OR_RETURN(const std::string type, file_.GetString("model_type"));
    const Family* family = FindCheckpointFamily(type);
    if (family == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(file_.name(), ": model_type ", Quoted(type),
                       " is not supported; use a model of one of these: ", SupportedCheckpoints()));
    }
    config_.architecture = std::string(family->architecture);
    config_.qk_norm = family->qk_norm;
    // Checkpoints turn halves; files with adjacent pairs have the rows of q and k reordered.
    config_.rope_pairing = RopePairing::kHalf;
    return absl::OkStatus();
  }

  // A key that asks for arithmetic we lack is an error: better no answer than a wrong one.
  absl::Status RefuseUncomputed() const {
    for (const Neutral& neutral : kNeutral) {
      if (!file_.Has(neutral.key) || file_.Text(neutral.key) == neutral.value) continue;
      return Refuse(absl::StrCat("key ", Quoted(neutral.key), " is ", file_.Text(neutral.key),
                                 "; only ", std::string(neutral.value), " is computed here"));
    }
    for (const std::string_view key : kAbsent) {
      if (!file_.Has(key)) continue;
      return Refuse(absl::StrCat("key ", Quoted(key), " is ", file_.Text(key),
                                 ", which is not computed here"));
    }
    for (uint64_t i = 0;; ++i) {
      const std::string key = absl::StrCat("layer_types.", i);
      if (!file_.Has(key)) break;
      if (file_.Text(key) != "'full_attention'") {
        return Refuse(absl::StrCat("key ", Quoted(key), " is ", file_.Text(key),
                                   "; only 'full_attention' is computed here"));
      }
    }
    return CheckScaleBlocks();
  }

  absl::Status CheckScaleBlocks() const {
    if (!file_.Has("quantization_config")) return absl::OkStatus();
    for (const char* key :
         {"quantization_config.weight_block_size.0", "quantization_config.weight_block_size.1"}) {
      if (file_.Text(key) == "128") continue;
      return Refuse(
          absl::StrCat("key ", Quoted(key), " is ", file_.Text(key), "; only 128 is read here"));
    }
    return absl::OkStatus();
  }

  absl::Status ReadHeads() {
    config_.n_kv_heads = config_.n_heads;
    if (file_.Has("num_key_value_heads")) {
      SHOAL_ASSIGN_OR_RETURN(config_.n_kv_heads, ReadCount("num_key_value_heads"));
    }
    if (file_.Has("head_dim")) {
      SHOAL_ASSIGN_OR_RETURN(config_.head_dim, ReadCount("head_dim"));
      return absl::OkStatus();
    }
    if (config_.n_heads == 0 || config_.hidden_dim % config_.n_heads != 0) {
      return Refuse(absl::StrCat("key 'num_attention_heads' is ", config_.n_heads,
                                 ", which does not divide hidden_size ", config_.hidden_dim,
                                 ", and there is no 'head_dim'"));
    }
    config_.head_dim = config_.hidden_dim / config_.n_heads;
    return absl::OkStatus();
  }

  absl::StatusOr<int> ReadCount(std::string_view key) const {
    SHOAL_ASSIGN_OR_RETURN(const uint64_t value, file_.GetUint(key));
    if (value <= INT_MAX) return static_cast<int>(value);
    return Refuse(
        absl::StrCat("key ", Quoted(key), " is ", value, ", above the limit of ", INT_MAX));
  }

  absl::StatusOr<double> ReadRopeTheta() const {
    constexpr std::string_view kNewer = "rope_parameters.rope_theta";
    return file_.Has(kNewer) ? file_.GetFloat(kNewer) : FloatOr("rope_theta", 10000.0);
  }

  absl::StatusOr<double> FloatOr(std::string_view key, double absent) const {
    return file_.Has(key) ? file_.GetFloat(key) : absent;
  }
  absl::StatusOr<bool> BoolOr(std::string_view key, bool absent) const {
    return file_.Has(key) ? file_.GetBool(key) : absent;
  }

  const JsonValues& file_;
  ModelConfig config_;
};

}  // namespace

absl::StatusOr<ModelConfig> ReadCheckpointConfig(const JsonValues& file) {
  return ConfigReader(file).Read();
}

}  // namespace shoal
