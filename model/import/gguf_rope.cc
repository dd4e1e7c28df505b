#include "model/import/gguf_rope.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/rope_scaling.h"

namespace shoal {
namespace {

constexpr double kUsualTheta = 10000;  // Where no key says another.

class RopeReader {
 public:
  RopeReader(const GgufKeys& keys, const Family& family, ModelConfig* config)
      : keys_(keys), family_(family), config_(*config) {}

  absl::Status Read() {
    SHOAL_ASSIGN_OR_RETURN(config_.rope_dim,
                           keys_.ReadCountOr("rope.dimension_count", config_.head_dim));
    if (config_.rope_dim > std::min(config_.head_dim, kMaxDim)) {
      return absl::OkStatus();  // ValidateConfig refuses it.
    }
    SHOAL_ASSIGN_OR_RETURN(config_.rope_theta, keys_.ReadFloatOr("rope.freq_base", kUsualTheta));
    SHOAL_ASSIGN_OR_RETURN(const double magnitude,
                           keys_.ReadFloatOr("rope.scaling.attn_factor", 1));
    config_.rope_magnitude = static_cast<float>(magnitude);
    SHOAL_RETURN_IF_ERROR(ReadDivisors(TensorRole::kRopeFreqs, &config_.rope_divisors));
    SHOAL_RETURN_IF_ERROR(ReadLists());
    SHOAL_RETURN_IF_ERROR(ReadSwitch());
    return ReadScaling();
  }

 private:
  // Granite's files say so by this key, which elsewhere tells how the scaling was found.
  absl::Status ReadSwitch() {
    constexpr const char* kSwitch = "rope.scaling.finetuned";
    if (!family_.optional_rope || !keys_.Has(kSwitch)) return absl::OkStatus();
    SHOAL_ASSIGN_OR_RETURN(const bool on, keys_.file().GetBool(keys_.Key(kSwitch)));
    if (on) return absl::OkStatus();
    for (int i = 0; i < config_.n_layers; ++i) config_.MutableLayer(i).rope = LayerRope::kNone;
    return absl::OkStatus();
  }

  // Stays empty where the file has no such tensor.
  absl::Status ReadDivisors(TensorRole role, std::vector<float>* divisors) {
    const TensorSpec* spec = FindSpec(family_, role);
    const TensorInfo* tensor = spec == nullptr ? nullptr : keys_.file().Find(TensorName(*spec, 0));
    if (tensor == nullptr) return absl::OkStatus();
    const std::vector<int64_t> shape = TensorShape(*spec, config_);
    if (tensor->shape != shape || tensor->dtype != DType::kF32) {
      return keys_.Refuse(absl::StrCat("tensor ", Quoted(tensor->name), " is not ", shape[0],
                                       " F32 numbers, half of rope's dimensions"));
    }
    divisors->resize(static_cast<size_t>(shape[0]));
    return keys_.file().Read(*tensor, 0, std::as_writable_bytes(std::span(*divisors)));
  }

  // Longrope (Ding et al. 2024, arXiv:2402.13753): one list of divisors for sequences within the
  // original context, another for longer ones.
  absl::Status ReadLists() {
    std::vector<float> short_divisors;
    SHOAL_RETURN_IF_ERROR(ReadDivisors(TensorRole::kRopeFactorsShort, &short_divisors));
    SHOAL_RETURN_IF_ERROR(ReadDivisors(TensorRole::kRopeFactorsLong, &config_.long_rope_divisors));
    if (short_divisors.empty() != config_.long_rope_divisors.empty()) {
      return keys_.Refuse(
          "it has one of the tensors 'rope_factors_short.weight' and "
          "'rope_factors_long.weight' without the other");
    }
    if (short_divisors.empty()) return absl::OkStatus();
    config_.rope_divisors = std::move(short_divisors);
    SHOAL_ASSIGN_OR_RETURN(config_.rope_original_context,
                           keys_.ReadCount("rope.scaling.original_context_length"));
    return absl::OkStatus();
  }

  absl::Status ReadScaling() {
    constexpr const char* kType = "rope.scaling.type";
    std::string type = "none";
    if (keys_.Has(kType)) {
      SHOAL_ASSIGN_OR_RETURN(type, keys_.file().GetString(keys_.Key(kType)));
    }
    if (type == "none" || (type == "longrope" && !config_.long_rope_divisors.empty())) {
      return absl::OkStatus();
    }
    if (type == "linear" || type == "yarn") {
      SHOAL_ASSIGN_OR_RETURN(const double factor, keys_.ReadFloatOr("rope.scaling.factor", 1));
      if (!(std::isfinite(factor) && factor >= 1)) {
        return keys_.Refuse(absl::StrCat("key ", Quoted(keys_.Key("rope.scaling.factor")), " is ",
                                         factor, ", not a number of 1 or more"));
      }
      if (type == "yarn") return ReadYarn(factor);
      Divide(std::vector<float>(static_cast<size_t>(config_.rope_dim) / 2,
                                static_cast<float>(factor)));
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat(
        keys_.file().path(), ": key ", Quoted(keys_.Key(kType)), " is ", Quoted(type),
        ", which is not computed; 'none', 'linear' and 'yarn' are: use another model"));
  }

  absl::Status ReadYarn(double factor) {
    YarnScaling yarn{.factor = factor, .truncate = family_.yarn_truncates};
    SHOAL_ASSIGN_OR_RETURN(yarn.original_context,
                           keys_.ReadCountOr("rope.scaling.original_context_length",
                                             static_cast<int>(config_.context_length)));
    SHOAL_ASSIGN_OR_RETURN(yarn.beta_fast,
                           keys_.ReadFloatOr("rope.scaling.yarn_beta_fast", yarn.beta_fast));
    SHOAL_ASSIGN_OR_RETURN(yarn.beta_slow,
                           keys_.ReadFloatOr("rope.scaling.yarn_beta_slow", yarn.beta_slow));
    for (const char* name : {"rope.scaling.yarn_ext_factor", "rope.scaling.yarn_attn_factor"}) {
      SHOAL_ASSIGN_OR_RETURN(const double value, keys_.ReadFloatOr(name, 1));
      if (value == 1) continue;
      return keys_.Refuse(absl::StrCat("key ", Quoted(keys_.Key(name)), " is ", value,
                                       "; only 1 is computed here"));
    }
    const bool sound = config_.rope_dim >= 2 && config_.rope_theta > 1 &&
                       yarn.original_context > 0 && yarn.beta_fast > 0 && yarn.beta_slow > 0;
    if (!sound) {
      return keys_.Refuse(absl::StrCat(
          "keys of rope do not fit YaRN: ", yarn.original_context, " original positions, betas ",
          yarn.beta_fast, " and ", yarn.beta_slow, ", base ", config_.rope_theta, ", ",
          config_.rope_dim, " dimensions; all must be above 0, the base above 1"));
    }
    Divide(YarnDivisors(yarn, config_.rope_theta, config_.rope_dim));
    if (!family_.yarn_scales_scores) {
      config_.rope_magnitude *= static_cast<float>(YarnMagnitude(factor));
    }
    return absl::OkStatus();
  }

  // Of both lists, or of one that was not there.
  void Divide(const std::vector<float>& divisors) {
    if (config_.rope_divisors.empty()) config_.rope_divisors.assign(divisors.size(), 1);
    for (std::vector<float>* list : {&config_.rope_divisors, &config_.long_rope_divisors}) {
      for (size_t i = 0; i < list->size() && i < divisors.size(); ++i) (*list)[i] *= divisors[i];
    }
  }

  const GgufKeys& keys_;
  const Family& family_;
  ModelConfig& config_;
};

}  // namespace

absl::Status ReadRope(const GgufKeys& keys, const Family& family, ModelConfig* config) {
  return RopeReader(keys, family, config).Read();
}

}  // namespace shoal
