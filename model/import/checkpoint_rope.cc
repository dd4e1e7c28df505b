#include "model/import/checkpoint_rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/rope_scaling.h"

namespace shoal {
namespace {

// A kind of scaling and the members that it has beside those of all.
struct RopeKind {
  std::string_view name;
  std::span<const std::string_view> members;
};
constexpr std::string_view kFactor[] = {"factor"};
// Some files have members here that only other kinds look at.
constexpr std::string_view kDynamic[] = {"factor",    "alpha",  "beta_fast",
                                         "beta_slow", "mscale", "mscale_all_dim"};
constexpr std::string_view kLlama3[] = {"factor", "low_freq_factor", "high_freq_factor"};
constexpr std::string_view kYarn[] = {"factor",           "beta_fast", "beta_slow",     "truncate",
                                      "attention_factor", "mscale",    "mscale_all_dim"};
constexpr std::string_view kLong[] = {"factor",           "short_factor", "long_factor",
                                      "attention_factor", "short_mscale", "long_mscale"};
constexpr RopeKind kKinds[] = {{"default", {}},     {"linear", kFactor}, {"dynamic", kDynamic},
                               {"llama3", kLlama3}, {"yarn", kYarn},     {"longrope", kLong},
                               {"su", kLong}};
constexpr std::string_view kAllHave[] = {"rope_theta", "rope_type", "type", "partial_rotary_factor",
                                         "original_max_position_embeddings"};

class RopeReader {
 public:
  RopeReader(const JsonValues& file, const CheckpointType& type, ModelConfig* config)
      : file_(file), type_(type), config_(*config) {}

  absl::Status Read() {
    // The older spelling counts where a file has both.
    for (const char* object : {"rope_scaling", "rope_parameters"}) {
      if (file_.Names(object).empty()) continue;
      object_ = object;
      break;
    }
    if (type_.rope_required && file_.Names(object_).empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(file_.name(), ": key ", Quoted(object_), " is missing; model_type ",
                       std::string(type_.model_type), " needs it: fetch the model again"));
    }
    SHOAL_RETURN_IF_ERROR(ReadLocal());
    SHOAL_RETURN_IF_ERROR(ReadShare());
    SHOAL_RETURN_IF_ERROR(ReadTheta());
    std::string name = "default";
    for (const char* member : {"type", "rope_type"}) {
      if (!file_.Has(Key(member))) continue;
      SHOAL_ASSIGN_OR_RETURN(name, file_.GetString(Key(member)));
    }
    const auto* kind = std::ranges::find(kKinds, name, &RopeKind::name);
    if (kind == std::end(kKinds)) return RefuseKind(name);
    SHOAL_RETURN_IF_ERROR(RefuseUnknown(*kind));
    if (config_.rope_dim < 2) return absl::OkStatus();  // ValidateConfig refuses it.
    if (name == "linear") return ReadLinear();
    if (name == "llama3") return ReadLlama3();
    if (name == "dynamic") return ReadDynamic();
    if (name == "yarn") return ReadYarn();
    return name == "default" ? absl::OkStatus() : ReadLong();
  }

 private:
  std::string Key(std::string_view member) const {
    return absl::StrCat(object_, ".", std::string(member));
  }

  absl::Status Refuse(std::string_view member, const std::string& says) const {
    return absl::InvalidArgumentError(absl::StrCat(file_.name(), ": key ", Quoted(Key(member)),
                                                   " is ", file_.Text(Key(member)), says,
                                                   "; use another model"));
  }

  absl::Status RefuseKind(const std::string& name) const {
    std::string known;
    for (const RopeKind& kind : kKinds) {
      absl::StrAppend(&known, known.empty() ? "" : ", ", Quoted(kind.name));
    }
    const char* member = file_.Has(Key("rope_type")) ? "rope_type" : "type";
    return absl::InvalidArgumentError(absl::StrCat(file_.name(), ": key ", Quoted(Key(member)),
                                                   " is ", Quoted(name), "; computed are ", known,
                                                   "; use another model"));
  }

  absl::Status RefuseUnknown(const RopeKind& kind) const {
    for (const std::string& name : file_.Names(object_)) {
      if (!file_.Has(Key(name))) continue;
      const auto has = [&name](std::span<const std::string_view> list) {
        return std::ranges::find(list, name) != list.end();
      };
      if (has(kAllHave) || has(kind.members)) continue;
      return Refuse(name, absl::StrCat(", which is not known for the type ", Quoted(kind.name)));
    }
    return absl::OkStatus();
  }

  // Some files have an object for each kind of layers.
  absl::Status ReadLocal() {
    constexpr std::string_view kFull = "full_attention";
    const std::string local = Key("sliding_attention");
    if (!file_.Has(Key(kFull))) return absl::OkStatus();
    for (const std::string& name : file_.Names(object_)) {
      if (name == kFull || Key(name) == local) continue;
      return Refuse(name, ", which is not known beside 'full_attention'");
    }
    for (const std::string& name : file_.Names(local)) {
      const std::string key = absl::StrCat(local, ".", name);
      if (name == "rope_theta" && config_.local_rope_theta != 0) {
        SHOAL_ASSIGN_OR_RETURN(config_.local_rope_theta, file_.GetFloat(key));
      } else if (name != "rope_type" || file_.Text(key) != "'default'") {
        return Refuse(absl::StrCat("sliding_attention.", name), ", which is not computed here");
      }
    }
    object_ = Key(kFull);
    return absl::OkStatus();
  }

  // How much of each head turns.
  absl::Status ReadShare() {
    if (config_.HasLatentAttention()) return absl::OkStatus();  // It has a part of its own.
    config_.rope_dim = config_.head_dim;
    const std::string name = "partial_rotary_factor";
    const std::string key = file_.Has(Key(name)) ? Key(name) : name;
    double share = type_.partial_rotary == 0 ? 1 : type_.partial_rotary;
    if (file_.Has(key)) {
      SHOAL_ASSIGN_OR_RETURN(share, file_.GetFloat(key));
    }
    const bool fits = type_.partial_rotary == 0 ? share == 1 : share > 0 && share <= 1;
    if (!fits) {
      return absl::InvalidArgumentError(
          absl::StrCat(file_.name(), ": key ", Quoted(key), " is ", share, "; only ",
                       type_.partial_rotary == 0 ? "1" : "a share above 0 and up to 1",
                       " is computed here; use another model"));
    }
    config_.rope_dim = static_cast<int>(config_.head_dim * share);
    return absl::OkStatus();
  }

  absl::Status ReadTheta() {
    config_.rope_theta = type_.rope_theta;
    for (const std::string& key : {std::string("rope_theta"), Key("rope_theta")}) {
      if (!file_.Has(key)) continue;
      SHOAL_ASSIGN_OR_RETURN(config_.rope_theta, file_.GetFloat(key));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<double> ReadPositive(std::string_view member) const {
    SHOAL_ASSIGN_OR_RETURN(const double value, file_.GetFloat(Key(member)));
    if (value > 0) return value;
    return Refuse(member, ", not above 0");
  }

  absl::StatusOr<double> ReadPositiveOr(std::string_view member, double absent) const {
    return file_.Has(Key(member)) ? ReadPositive(member) : absent;
  }

  absl::StatusOr<double> ReadNumberOr(std::string_view member, double absent) const {
    return file_.Has(Key(member)) ? file_.GetFloat(Key(member)) : absent;
  }

  // The context that the model was first trained for. Some files say it beside the object.
  absl::StatusOr<int> ReadOriginalContext() const {
    const std::string name = "original_max_position_embeddings";
    for (const std::string& key : {name, Key(name)}) {
      if (!file_.Has(key)) continue;
      SHOAL_ASSIGN_OR_RETURN(const uint64_t value, file_.GetUint(key));
      if (value >= 1 && value <= kMaxContext) return static_cast<int>(value);
      return absl::InvalidArgumentError(absl::StrCat(file_.name(), ": key ", Quoted(key), " is ",
                                                     value, ", not in [1, ", kMaxContext,
                                                     "]; use another model"));
    }
    return static_cast<int>(config_.context_length);
  }

  absl::Status ReadLinear() {
    SHOAL_ASSIGN_OR_RETURN(const double factor, ReadPositive("factor"));
    if (factor != 1) {
      config_.rope_divisors.assign(static_cast<size_t>(config_.rope_dim) / 2,
                                   static_cast<float>(factor));
    }
    return absl::OkStatus();
  }

  // Does nothing within the context that the model was trained for. With alpha, the base is another
  // one whatever the length.
  absl::Status ReadDynamic() {
    if (!file_.Has(Key("alpha"))) return absl::OkStatus();
    if (!type_.rope_alpha) return Refuse("alpha", ", which model_type does not know");
    SHOAL_ASSIGN_OR_RETURN(const double alpha, ReadPositive("alpha"));
    const double dim = config_.rope_dim;
    if (config_.rope_dim <= 2) return Refuse("alpha", " for heads of 2, which have no such base");
    config_.rope_theta *= std::pow(alpha, dim / (dim - 2));
    return absl::OkStatus();
  }

  // Long waves are stretched by the factor, short ones are not, and those between by a share.
  absl::Status ReadLlama3() {
    SHOAL_ASSIGN_OR_RETURN(const double factor, ReadPositive("factor"));
    SHOAL_ASSIGN_OR_RETURN(const double low, ReadPositive("low_freq_factor"));
    SHOAL_ASSIGN_OR_RETURN(const double high, ReadPositive("high_freq_factor"));
    if (low > high) {
      return Refuse("low_freq_factor", absl::StrCat(", above high_freq_factor, ",
                                                    file_.Text(Key("high_freq_factor"))));
    }
    SHOAL_ASSIGN_OR_RETURN(const int context, ReadOriginalContext());
    const int n_pairs = config_.rope_dim / 2;
    for (int i = 0; i < n_pairs; ++i) {
      const double frequency = std::pow(config_.rope_theta, -2.0 * i / config_.rope_dim);
      const double n_waves = context * frequency / (2 * std::numbers::pi);
      // Where both are one, a wave is either long or short.
      const double share = low == high ? (n_waves < low ? 0.0 : 1.0)
                                       : std::clamp((n_waves - low) / (high - low), 0.0, 1.0);
      config_.rope_divisors.push_back(static_cast<float>(1 / ((1 - share) / factor + share)));
    }
    return absl::OkStatus();
  }

  absl::Status ReadYarn() {
    SHOAL_ASSIGN_OR_RETURN(const int original, ReadOriginalContext());
    YarnScaling yarn{.original_context = original};
    const double ratio = static_cast<double>(config_.context_length) / original;
    SHOAL_ASSIGN_OR_RETURN(yarn.factor, ReadPositiveOr("factor", ratio));
    SHOAL_ASSIGN_OR_RETURN(yarn.beta_fast, ReadPositiveOr("beta_fast", yarn.beta_fast));
    SHOAL_ASSIGN_OR_RETURN(yarn.beta_slow, ReadPositiveOr("beta_slow", yarn.beta_slow));
    if (file_.Has(Key("truncate"))) {
      SHOAL_ASSIGN_OR_RETURN(yarn.truncate, file_.GetBool(Key("truncate")));
    }
    if (yarn.factor < 1) return Refuse("factor", ", below 1");
    if (!(config_.rope_theta > 1)) {
      return Refuse("type", absl::StrCat(" with the base ", config_.rope_theta,
                                         "; only bases above 1 are computed with it"));
    }
    config_.rope_divisors = YarnDivisors(yarn, config_.rope_theta, config_.rope_dim);
    return ReadYarnMagnitude(yarn.factor);
  }

  // DeepSeek's files have the factors of two logarithms: the first one's magnitude, divided by the
  // second one's, is that of cosines and sines; the second one's square that of scores.
  absl::Status ReadYarnMagnitude(double factor) {
    SHOAL_ASSIGN_OR_RETURN(const double mscale, ReadNumberOr("mscale", 0));
    SHOAL_ASSIGN_OR_RETURN(const double mscale_all_dim, ReadNumberOr("mscale_all_dim", 0));
    const auto magnitude_of = [factor](double scale) {
      return (YarnMagnitude(factor) - 1) * scale + 1;
    };
    double magnitude = YarnMagnitude(factor);
    if (mscale != 0 && mscale_all_dim != 0) {
      magnitude = magnitude_of(mscale) / magnitude_of(mscale_all_dim);
    }
    if (config_.HasLatentAttention()) {
      const double scores = magnitude_of(mscale_all_dim);
      config_.attention_scale = static_cast<float>(config_.attention_scale * scores * scores);
    }
    SHOAL_ASSIGN_OR_RETURN(magnitude, ReadPositiveOr("attention_factor", magnitude));
    config_.rope_magnitude = static_cast<float>(magnitude);
    return absl::OkStatus();
  }

  // Longrope (Ding et al. 2024, arXiv:2402.13753): one list of divisors within the original
  // context, another for longer sequences.
  absl::Status ReadLong() {
    SHOAL_ASSIGN_OR_RETURN(config_.rope_original_context, ReadOriginalContext());
    SHOAL_RETURN_IF_ERROR(ReadList("short_factor", &config_.rope_divisors));
    SHOAL_RETURN_IF_ERROR(ReadList("long_factor", &config_.long_rope_divisors));
    const double original = config_.rope_original_context;
    SHOAL_ASSIGN_OR_RETURN(
        const double factor,
        ReadPositiveOr("factor", static_cast<double>(config_.context_length) / original));
    double magnitude = factor > 1 ? std::sqrt(1 + std::log(factor) / std::log(original)) : 1;
    SHOAL_ASSIGN_OR_RETURN(magnitude, ReadPositiveOr("attention_factor", magnitude));
    if (type_.rope_mscales) {
      SHOAL_ASSIGN_OR_RETURN(magnitude, ReadPositive("short_mscale"));
      SHOAL_ASSIGN_OR_RETURN(const double other, ReadPositive("long_mscale"));
      if (other != magnitude) {
        return Refuse("long_mscale", absl::StrCat(", but short_mscale is ", magnitude,
                                                  "; only equal ones are computed here"));
      }
    }
    config_.rope_magnitude = static_cast<float>(magnitude);
    return absl::OkStatus();
  }

  absl::Status ReadList(std::string_view member, std::vector<float>* list) const {
    const uint64_t n = file_.Length(Key(member));
    if (n != static_cast<uint64_t>(config_.rope_dim) / 2) {
      return Refuse(member, absl::StrCat(" of ", n, " numbers, not ", config_.rope_dim / 2));
    }
    for (uint64_t i = 0; i < n; ++i) {
      SHOAL_ASSIGN_OR_RETURN(const double value,
                             ReadPositive(absl::StrCat(std::string(member), ".", i)));
      list->push_back(static_cast<float>(value));
    }
    return absl::OkStatus();
  }

  const JsonValues& file_;
  const CheckpointType& type_;
  ModelConfig& config_;
  std::string object_ = "rope_parameters";
};

}  // namespace

absl::Status ReadCheckpointRope(const JsonValues& file, const CheckpointType& type,
                                ModelConfig* config) {
  return RopeReader(file, type, config).Read();
}

}  // namespace shoal
