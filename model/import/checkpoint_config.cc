#include "model/import/checkpoint_config.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/import/checkpoint_layers.h"
#include "model/import/checkpoint_rope.h"
#include "model/import/harmless_keys.h"
#include "model/import/text_part.h"

namespace shoal {
namespace {

// Keys of all types. A type's own row of the same key counts before.
constexpr ConfigKey kCommonKeys[] = {
    {"num_hidden_layers", &ModelConfig::n_layers},
    {"hidden_size", &ModelConfig::hidden_dim},
    {"num_attention_heads", &ModelConfig::n_heads},
    {"num_key_value_heads", &ModelConfig::n_kv_heads, 0},  // 0: as many as n_heads.
    {"head_dim", &ModelConfig::head_dim, 0},               // 0: hidden_dim / n_heads.
    {"vocab_size", &ModelConfig::vocab_size},
    {"rms_norm_eps", &ModelConfig::rms_norm_eps, 1e-6},
    {"tie_word_embeddings", &ModelConfig::tied_embeddings, 0},
    {"hidden_act", OnlyValue{"'silu'"}},
    {"attention_bias", OnlyValue{"false"}},
    {"mlp_bias", OnlyValue{"false"}},
    {"is_encoder_decoder", OnlyValue{"false"}},
    {"add_cross_attention", OnlyValue{"false"}},
};

// Keys that are read elsewhere: here, in checkpoint_rope.cc, or with the tokenizer.
constexpr std::string_view kReadElsewhere[] = {"model_type",
                                               "max_position_embeddings",
                                               "layer_types",
                                               "rope_theta",
                                               "rope_scaling",
                                               "rope_parameters",
                                               "eos_token_id",
                                               "quantization_config",
                                               "partial_rotary_factor",
                                               "original_max_position_embeddings"};

class ConfigReader {
 public:
  explicit ConfigReader(const JsonValues& file) : file_(file) {}

  absl::StatusOr<CheckpointConfig> Read() {
    SHOAL_RETURN_IF_ERROR(ReadType());
    for (const ConfigKey& key : kCommonKeys) {
      const bool own =
          std::ranges::find(type_->keys, key.key, &ConfigKey::key) != type_->keys.end();
      if (!own) SHOAL_RETURN_IF_ERROR(ReadKey(key));
    }
    for (const ConfigKey& key : type_->keys) SHOAL_RETURN_IF_ERROR(ReadKey(key));
    SHOAL_RETURN_IF_ERROR(RefuseUnknown());
    SHOAL_RETURN_IF_ERROR(CheckQuantization());
    config_.context_length = type_->context_length;
    if (file_.Has("max_position_embeddings") || type_->context_length == 0) {
      SHOAL_ASSIGN_OR_RETURN(config_.context_length, ReadCount("max_position_embeddings"));
    }
    if (config_.n_layers < 1 || config_.n_layers > kMaxLayers) {
      return Refuse(
          absl::StrCat("n_layers is ", config_.n_layers, ", not in [1, ", kMaxLayers, "]"));
    }
    SHOAL_RETURN_IF_ERROR(ReadCheckpointLayers(file_, {family_, type_}, &config_));
    SHOAL_RETURN_IF_ERROR(FinishExperts());
    SHOAL_RETURN_IF_ERROR(FinishHeads());
    SHOAL_RETURN_IF_ERROR(ReadCheckpointRope(file_, *type_, &config_));
    if (absl::Status s = ValidateConfig(config_); !s.ok()) return Refuse(s.message());
    read_.config = std::move(config_);
    return std::move(read_);
  }

 private:
  absl::Status Refuse(absl::string_view message) const {
    return absl::InvalidArgumentError(
        absl::StrCat(file_.name(), ": ", message, "; use another model"));
  }
  absl::Status RefuseKey(std::string_view key, const std::string& says) const {
    return Refuse(absl::StrCat("key ", Quoted(key), " is ", file_.Text(key), says));
  }

  absl::Status ReadType() {
    SHOAL_ASSIGN_OR_RETURN(const std::string name, file_.GetString("model_type"));
    const FamilyCheckpoint found = FindCheckpoint(name);
    if (found.type == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(file_.name(), ": model_type ", Quoted(name),
                       " is not supported; use a model of one of these: ", SupportedCheckpoints()));
    }
    type_ = found.type;
    family_ = found.family;
    read_.type = type_;
    config_ = ImpliedConfig(*family_);
    config_.rope_pairing = type_->rope_pairing;
    config_.gating = type_->gating != Gating::kSoftmax ? type_->gating : config_.gating;
    config_.choice_bias = FindName(*type_, TensorRole::kChoiceBias) != nullptr;
    config_.weighted_inputs = family_->weighted_inputs;
    config_.attention_gate = FindName(*type_, TensorRole::kDeltaQkv) != nullptr;
    return absl::OkStatus();
  }

  absl::Status ReadKey(const ConfigKey& key) {
    const std::string_view name =
        !key.also.empty() && !file_.Has(key.key) && file_.Has(key.also) ? key.also : key.key;
    if (const auto* only = std::get_if<OnlyValue>(&key.says)) {
      SHOAL_ASSIGN_OR_RETURN(const std::string one, OneOf(name));
      if (!file_.Has(one) || file_.Text(one) == only->value) return absl::OkStatus();
      return RefuseKey(one, absl::StrCat("; only ", std::string(only->value), " is computed here"));
    }
    if (const auto* rule = std::get_if<ConfigRule>(&key.says)) {
      return ReadRule(name, *rule, key.absent);
    }
    if (const auto* has = std::get_if<HasTensors>(&key.says)) {
      bool there = false;
      if (file_.Has(name)) {
        SHOAL_ASSIGN_OR_RETURN(there, file_.GetBool(name));
      }
      auto& roles = there ? read_.present : read_.absent;
      roles.insert(roles.end(), has->roles.begin(), has->roles.end());
      return absl::OkStatus();
    }
    const bool is_count = std::holds_alternative<int ModelConfig::*>(key.says);
    if (is_count && file_.Mentions(name) && !file_.Has(name)) {
      Store(key, 0);  // Null says that there is no such thing.
      return absl::OkStatus();
    }
    if (key.absent && !file_.Has(name)) {
      Store(key, *key.absent);
      return absl::OkStatus();
    }
    double value = 0;
    if (is_count) {
      SHOAL_ASSIGN_OR_RETURN(value, ReadCount(name));
    } else if (std::holds_alternative<bool ModelConfig::*>(key.says)) {
      SHOAL_ASSIGN_OR_RETURN(value, file_.GetBool(name));
    } else {
      SHOAL_ASSIGN_OR_RETURN(value, file_.GetFloat(name));
    }
    Store(key, value);
    return absl::OkStatus();
  }

  void Store(const ConfigKey& key, double value) {
    if (const auto* count = std::get_if<int ModelConfig::*>(&key.says)) {
      config_.** count = static_cast<int>(value);
    } else if (const auto* flag = std::get_if<bool ModelConfig::*>(&key.says)) {
      config_.** flag = value != 0;
    } else {
      config_.*std::get<float ModelConfig::*>(key.says) = static_cast<float>(value);
    }
  }

  // Rules of layers are read with them. Rows of tables stand behind those of the numbers that they
  // need.
  absl::Status ReadRule(std::string_view key, ConfigRule rule, std::optional<double> absent) {
    switch (rule) {
      case ConfigRule::kMoreLayers: {
        if (!file_.Has(key)) return absl::OkStatus();
        SHOAL_ASSIGN_OR_RETURN(read_.n_more_layers, ReadCount(key));
        return absl::OkStatus();
      }
      case ConfigRule::kSharedExperts:
        return file_.Has(key) ? ReadSharedExperts(key) : absl::OkStatus();
      case ConfigRule::kLocalTheta: {
        config_.local_rope_theta = absent.value_or(0);
        if (!file_.Has(key)) return absl::OkStatus();
        SHOAL_ASSIGN_OR_RETURN(config_.local_rope_theta, file_.GetFloat(key));
        return absl::OkStatus();
      }
      case ConfigRule::kAttentionScalar: {
        double scalar = absent.value_or(0);
        if (file_.Has(key)) {
          SHOAL_ASSIGN_OR_RETURN(scalar, file_.GetFloat(key));
        }
        if (!(scalar > 0)) return RefuseKey(key, ", not above 0");
        config_.attention_scale = static_cast<float>(1 / std::sqrt(scalar));
        return absl::OkStatus();
      }
      case ConfigRule::kHeadNorms: {
        bool there = absent.value_or(0) != 0;
        if (file_.Has(key)) {
          SHOAL_ASSIGN_OR_RETURN(there, file_.GetBool(key));
        }
        if (!there) config_.qk_norm = QkNorm::kNone;
        return absl::OkStatus();
      }
      case ConfigRule::kTemperature: {
        // Some files have a number here.
        if (!file_.Has(key) || file_.GetUint(key).value_or(0) > 0) return absl::OkStatus();
        SHOAL_ASSIGN_OR_RETURN(const bool on, file_.GetBool(key));
        if (!on) config_.temperature_floor = 0;
        return absl::OkStatus();
      }
      case ConfigRule::kTopkMethod:
        return ReadTopkMethod(key);
      default:
        return absl::OkStatus();
    }
  }

  absl::Status ReadTopkMethod(std::string_view key) {
    const std::string method = file_.Has(key) ? file_.Text(key) : "'greedy'";
    if (method == "'group_limited_greedy'") return absl::OkStatus();
    if (method != "'greedy'") {
      return RefuseKey(key, "; only 'greedy' and 'group_limited_greedy' are computed here");
    }
    config_.n_expert_groups = 1;
    config_.n_groups_used = 1;
    return absl::OkStatus();
  }

  absl::Status ReadSharedExperts(std::string_view key) {
    SHOAL_ASSIGN_OR_RETURN(const int n, ReadCount(key));
    if (n <= kMaxDim && config_.ffn_dim <= kMaxDim && int64_t{n} * config_.ffn_dim <= kMaxDim) {
      config_.shared_ffn_dim = n * config_.ffn_dim;
      return absl::OkStatus();
    }
    return RefuseKey(key, absl::StrCat("; with experts of width ", config_.ffn_dim,
                                       " that is wider than ", kMaxDim));
  }

  // A key that nobody here knows may ask for arithmetic that we lack: better no answer than a wrong
  // one.
  absl::Status RefuseUnknown() const {
    std::set<std::string_view> known(std::begin(kReadElsewhere), std::end(kReadElsewhere));
    for (const auto keys : {std::span<const ConfigKey>(kCommonKeys), type_->keys}) {
      for (const ConfigKey& key : keys) known.insert({key.key, key.also});
    }
    for (const std::string& name : file_.Names()) {
      if (known.contains(name) || IsHarmlessKey(name) || !file_.Has(name)) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          file_.name(), ": key ", Quoted(name), " is ", file_.Text(name),
          ", which is not known for model_type ", std::string(type_->model_type),
          "; take the key out if the model's answers do not depend on it, or use another model"));
    }
    return absl::OkStatus();
  }

  absl::Status CheckQuantization() const {
    constexpr char kMethod[] = "quantization_config.quant_method";
    if (!file_.Has("quantization_config") || file_.Text(kMethod) == "'mxfp4'") {
      return absl::OkStatus();  // Packed tensors are known by their names.
    }
    if (file_.Text(kMethod) != "'fp8'")
      return RefuseKey(kMethod, "; only 'fp8' and 'mxfp4' are read here");
    for (const char* key :
         {"quantization_config.weight_block_size.0", "quantization_config.weight_block_size.1"}) {
      if (file_.Text(key) != "128") return RefuseKey(key, "; only 128 is read here");
    }
    const char* format = "quantization_config.fmt";
    if (!file_.Has(format) || file_.Text(format) == "'e4m3'") return absl::OkStatus();
    return RefuseKey(format, "; only 'e4m3' is read here");
  }

  // Widths that nothing in the model has are none.
  absl::Status FinishExperts() {
    const bool routed = FindName(*type_, TensorRole::kFfnGateExps) != nullptr;
    if (routed && config_.n_experts < 1) return Refuse("n_experts is 0, below 1");
    const bool any_dense = !routed || std::ranges::any_of(config_.layers, &LayerConfig::dense);
    if (!any_dense) config_.dense_ffn_dim = 0;
    config_.n_expert_groups = std::max(config_.n_expert_groups, 1);
    config_.n_groups_used = std::max(config_.n_groups_used, 1);
    if (config_.n_expert_groups > 1 && config_.gating == Gating::kSigmoid) {
      config_.group_rank = GroupRank::kBestTwo;
    }
    if (config_.norm_topk_prob) config_.topk_norm_floor = family_->topk_norm_floor;
    const bool any_delta = std::ranges::any_of(
        config_.layers, [](const LayerConfig& layer) { return layer.mixer == Mixer::kDeltaRule; });
    if (!any_delta && FindName(*type_, TensorRole::kDeltaQkv) != nullptr) {
      config_.conv_kernel = 0;
      config_.delta_key_dim = config_.delta_key_heads = 0;
      config_.delta_value_dim = config_.delta_value_heads = 0;
    }
    const bool gated = FindName(*type_, TensorRole::kSharedGateInp) != nullptr;
    config_.shared_gate = gated && config_.shared_ffn_dim > 0;
    return absl::OkStatus();
  }

  absl::Status FinishHeads() {
    if (family_->scaled_embeddings) {
      config_.embedding_scale = std::sqrt(static_cast<float>(config_.hidden_dim));
    }
    if (FindName(*type_, TensorRole::kAttnKvA) != nullptr) {
      // The cache holds one row for all heads.
      config_.n_kv_heads = 1;
      config_.head_dim =
          std::min(config_.kv_lora_rank, kMaxDim) + std::min(config_.rope_dim, kMaxDim);
      config_.attention_scale = static_cast<float>(
          1 / std::sqrt(static_cast<double>(config_.nope_dim) + config_.rope_dim));
      return absl::OkStatus();
    }
    if (config_.n_kv_heads == 0) config_.n_kv_heads = config_.n_heads;
    if (config_.head_dim != 0) return absl::OkStatus();
    if (config_.n_heads == 0 || config_.hidden_dim % config_.n_heads != 0) {
      return Refuse(absl::StrCat("key 'num_attention_heads' is ", config_.n_heads,
                                 ", which does not divide hidden_size ", config_.hidden_dim,
                                 ", and there is no 'head_dim'"));
    }
    config_.head_dim = config_.hidden_dim / config_.n_heads;
    return absl::OkStatus();
  }

  // A key whose value may be a list of the same for every layer: the first of them then.
  absl::StatusOr<std::string> OneOf(std::string_view key) const {
    const uint64_t n = file_.Length(key);
    std::string first = absl::StrCat(std::string(key), n > 0 ? ".0" : "");
    for (uint64_t i = 1; i < n; ++i) {
      const std::string other = absl::StrCat(std::string(key), ".", i);
      if (file_.Text(other) == file_.Text(first)) continue;
      return RefuseKey(other, absl::StrCat(", but ", Quoted(first), " is ", file_.Text(first),
                                           "; only layers that are alike are computed here"));
    }
    return first;
  }

  absl::StatusOr<int> ReadCount(std::string_view key) const {
    SHOAL_ASSIGN_OR_RETURN(const std::string one, OneOf(key));
    SHOAL_ASSIGN_OR_RETURN(const uint64_t value, file_.GetUint(one));
    if (value <= INT_MAX) return static_cast<int>(value);
    return Refuse(
        absl::StrCat("key ", Quoted(one), " is ", value, ", above the limit of ", INT_MAX));
  }

  const JsonValues& file_;
  const CheckpointType* type_ = nullptr;
  const Family* family_ = nullptr;
  ModelConfig config_;
  CheckpointConfig read_;
};

}  // namespace

absl::StatusOr<CheckpointConfig> ReadCheckpointConfig(const JsonValues& file) {
  const auto model_type = file.GetString("model_type");
  const CheckpointType* part = model_type.ok() ? FindTextOf(*model_type).type : nullptr;
  if (part == nullptr) return ConfigReader(file).Read();
  SHOAL_ASSIGN_OR_RETURN(const JsonValues text, TextPartOf(file, *part));
  SHOAL_ASSIGN_OR_RETURN(CheckpointConfig read, ConfigReader(text).Read());
  read.is_part = true;
  return read;
}

}  // namespace shoal
