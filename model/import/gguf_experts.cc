#include "model/import/gguf_experts.h"

#include <algorithm>
#include <climits>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

constexpr const char* kGatingKey = "expert_gating_func";
constexpr int kGatingSoftmax = 1;
constexpr int kGatingSigmoid = 2;

class ExpertsReader {
 public:
  ExpertsReader(const GgufKeys& keys, const Family& family, ModelConfig* config)
      : keys_(keys), family_(family), config_(*config) {}

  absl::Status Read() {
    SHOAL_RETURN_IF_ERROR(ReadNumber());
    if (config_.n_experts == 0) return ReadDenseWidth();
    SHOAL_RETURN_IF_ERROR(ReadDenseLayers());
    SHOAL_ASSIGN_OR_RETURN(config_.top_k, keys_.ReadCount("expert_used_count"));
    const char* width = "expert_feed_forward_length";
    if (!keys_.Has(width)) width = "feed_forward_length";
    SHOAL_ASSIGN_OR_RETURN(config_.ffn_dim, keys_.ReadCount(width));
    SHOAL_RETURN_IF_ERROR(ReadScores());
    SHOAL_RETURN_IF_ERROR(ReadGroups());
    SHOAL_RETURN_IF_ERROR(ReadWeights());
    return ReadSharedExpert();
  }

 private:
  absl::Status ReadDenseWidth() {
    SHOAL_ASSIGN_OR_RETURN(config_.dense_ffn_dim, keys_.ReadCount("feed_forward_length"));
    return absl::OkStatus();
  }

  // A family with both kinds of layers says by its count of experts which a model has.
  absl::Status ReadNumber() {
    if (FindSpec(family_, TensorRole::kFfnGateExps) == nullptr) {
      return keys_.RequireCount("expert_count", 0);
    }
    if (FindSpec(family_, TensorRole::kFfnGate) != nullptr) {
      SHOAL_ASSIGN_OR_RETURN(config_.n_experts, keys_.ReadCountOr("expert_count", 0));
      return absl::OkStatus();
    }
    SHOAL_ASSIGN_OR_RETURN(config_.n_experts, keys_.ReadCount("expert_count"));
    return config_.n_experts < 1 ? keys_.Refuse("n_experts is 0, below 1") : absl::OkStatus();
  }

  // The first leading_dense_block_count layers are dense; of the others every
  // interleave_moe_layer_step-th has experts.
  absl::Status ReadDenseLayers() {
    if (FindSpec(family_, TensorRole::kFfnGate) == nullptr) {
      SHOAL_RETURN_IF_ERROR(keys_.RequireCount("interleave_moe_layer_step", 1));
      return keys_.RequireCount("leading_dense_block_count", 0);
    }
    SHOAL_ASSIGN_OR_RETURN(const int n_leading, keys_.ReadCountOr("leading_dense_block_count", 0));
    SHOAL_ASSIGN_OR_RETURN(const int step, keys_.ReadCountOr("interleave_moe_layer_step", 1));
    if (n_leading >= config_.n_layers) {
      return keys_.Refuse(absl::StrCat("key ", Quoted(keys_.Key("leading_dense_block_count")),
                                       " is ", n_leading, ", not below the ", config_.n_layers,
                                       " layers, though the model has experts"));
    }
    if (step < 1 || step > config_.n_layers) {
      return keys_.Refuse(absl::StrCat("key ", Quoted(keys_.Key("interleave_moe_layer_step")),
                                       " is ", step, ", not in [1, ", config_.n_layers, "]"));
    }
    if (n_leading == 0 && step == 1) return absl::OkStatus();
    for (int layer = 0; layer < config_.n_layers; ++layer) {
      config_.MutableLayer(layer).dense = layer < n_leading || (layer + 1) % step != 0;
    }
    return ReadDenseWidth();
  }

  int FirstRoutedLayer() const {
    int layer = 0;
    while (layer < config_.n_layers && config_.IsDense(layer)) ++layer;
    return layer;
  }

  absl::Status ReadScores() {
    if (keys_.Has(kGatingKey)) {
      SHOAL_ASSIGN_OR_RETURN(const int gating, keys_.ReadCount(kGatingKey));
      if (gating != kGatingSoftmax && gating != kGatingSigmoid) {
        return absl::InvalidArgumentError(absl::StrCat(
            keys_.file().path(), ": key ", Quoted(keys_.Key(kGatingKey)), " is ", gating,
            "; only 1 (softmax) and 2 (sigmoid) are computed here: use another model"));
      }
      config_.gating = gating == kGatingSigmoid ? Gating::kSigmoid : Gating::kSoftmax;
    }
    const TensorSpec* bias = FindSpec(family_, TensorRole::kChoiceBias);
    config_.choice_bias =
        bias != nullptr && keys_.file().Find(TensorName(*bias, FirstRoutedLayer())) != nullptr;
    return absl::OkStatus();
  }

  // DeepSeek-V2 ranks groups of probabilities by their best expert, V3 groups of sigmoids by their
  // best two; files do not say it.
  absl::Status ReadGroups() {
    SHOAL_ASSIGN_OR_RETURN(const int n_groups, keys_.ReadCountOr("expert_group_count", 1));
    config_.n_expert_groups = std::max(n_groups, 1);
    SHOAL_ASSIGN_OR_RETURN(const int n_used, keys_.ReadCountOr("expert_group_used_count", 1));
    config_.n_groups_used = std::max(n_used, 1);
    if (config_.n_expert_groups > 1 && config_.gating == Gating::kSigmoid) {
      config_.group_rank = GroupRank::kBestTwo;
    }
    return absl::OkStatus();
  }

  absl::Status ReadWeights() {
    if (keys_.Has("expert_weights_norm")) {
      SHOAL_ASSIGN_OR_RETURN(config_.norm_topk_prob,
                             keys_.file().GetBool(keys_.Key("expert_weights_norm")));
    }
    SHOAL_ASSIGN_OR_RETURN(const double scale, keys_.ReadFloatOr("expert_weights_scale", 1));
    config_.routed_scale = scale == 0 ? 1.0F : static_cast<float>(scale);  // 0: none.
    return absl::OkStatus();
  }

  // Its width is its tensors': the key for it is unreliable.
  absl::Status ReadSharedExpert() {
    const TensorSpec* spec = FindSpec(family_, TensorRole::kFfnGateShexp);
    if (spec == nullptr) return keys_.RequireCount("expert_shared_count", 0);
    const std::string name = TensorName(*spec, FirstRoutedLayer());
    const TensorInfo* tensor = keys_.file().Find(name);
    if (tensor == nullptr) {
      if (family_.optional_shared) return keys_.RequireCount("expert_shared_count", 0);
      return keys_.Refuse(absl::StrCat("tensor ", Quoted(name), " is missing; architecture ",
                                       std::string(family_.architecture), " needs it"));
    }
    config_.shared_ffn_dim = static_cast<int>(std::min<int64_t>(tensor->shape.front(), INT_MAX));
    config_.shared_gate = FindSpec(family_, TensorRole::kSharedGateInp) != nullptr;
    return absl::OkStatus();
  }

  const GgufKeys& keys_;
  const Family& family_;
  ModelConfig& config_;
};

}  // namespace

absl::Status ReadExperts(const GgufKeys& keys, const Family& family, ModelConfig* config) {
  return ExpertsReader(keys, family, config).Read();
}

}  // namespace shoal
