#include "model/import/checkpoint_rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

// A kind of scaling and the members that it has beside those of all.
struct RopeKind {
  std::string_view name;
  std::span<const std::string_view> members;
};
constexpr std::string_view kFactor[] = {"factor", "original_max_position_embeddings"};
// Some files have members here that only other kinds look at.
constexpr std::string_view kDynamic[] = {
    "factor", "alpha",         "original_max_position_embeddings", "beta_fast", "beta_slow",
    "mscale", "mscale_all_dim"};
constexpr std::string_view kLlama3[] = {"factor", "low_freq_factor", "high_freq_factor",
                                        "original_max_position_embeddings"};
constexpr RopeKind kKinds[] = {
    {"default", {}}, {"linear", kFactor}, {"dynamic", kDynamic}, {"llama3", kLlama3}};
constexpr std::string_view kAllHave[] = {"rope_theta", "rope_type", "type",
                                         "partial_rotary_factor"};

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
    config_.rope_dim = config_.head_dim;
    SHOAL_RETURN_IF_ERROR(ReadTheta());
    std::string name = "default";
    for (const char* member : {"type", "rope_type"}) {
      if (!file_.Has(Key(member))) continue;
      SHOAL_ASSIGN_OR_RETURN(name, file_.GetString(Key(member)));
    }
    const auto* kind = std::ranges::find(kKinds, name, &RopeKind::name);
    if (kind == std::end(kKinds)) return RefuseKind(name);
    SHOAL_RETURN_IF_ERROR(RefuseUnknown(*kind));
    if (name == "linear") return ReadLinear();
    if (name == "llama3") return ReadLlama3();
    if (name == "dynamic") return ReadDynamic();
    return absl::OkStatus();
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
    const std::string partial = file_.Has(Key("partial_rotary_factor"))
                                    ? Key("partial_rotary_factor")
                                    : "partial_rotary_factor";
    if (!file_.Has(partial) || file_.Text(partial) == "1") return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(file_.name(), ": key ", Quoted(partial), " is ",
                                                   file_.Text(partial),
                                                   "; only 1 is computed here; use another model"));
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
    if (low >= high) {
      return Refuse("low_freq_factor", absl::StrCat(", not below high_freq_factor, ",
                                                    file_.Text(Key("high_freq_factor"))));
    }
    double context = static_cast<double>(config_.context_length);
    if (file_.Has(Key("original_max_position_embeddings"))) {
      SHOAL_ASSIGN_OR_RETURN(context, ReadPositive("original_max_position_embeddings"));
    }
    const int n_pairs = config_.rope_dim / 2;
    for (int i = 0; i < n_pairs; ++i) {
      const double frequency = std::pow(config_.rope_theta, -2.0 * i / config_.rope_dim);
      const double n_waves = context * frequency / (2 * std::numbers::pi);
      const double share = std::clamp((n_waves - low) / (high - low), 0.0, 1.0);
      config_.rope_divisors.push_back(static_cast<float>(1 / ((1 - share) / factor + share)));
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
