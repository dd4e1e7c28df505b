#include "model/config_options.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

constexpr size_t kMaxOptionName = 64;

template <typename T>
using OfModel = T ModelConfig::*;
template <typename T>
using OfLayer = T LayerConfig::*;
using Field = std::variant<OfModel<int>, OfModel<float>, OfModel<double>, OfModel<bool>,
                           OfModel<std::vector<float>>, OfModel<NormKind>, OfModel<Activation>,
                           OfModel<Gating>, OfModel<GroupRank>, OfLayer<int>, OfLayer<LayerRope>,
                           OfLayer<Mixer>>;

// The last value of each enum.
constexpr auto LastOf(NormKind) { return NormKind::kLayer; }
constexpr auto LastOf(Activation) { return Activation::kClampedSilu; }
constexpr auto LastOf(Gating) { return Gating::kSigmoid; }
constexpr auto LastOf(GroupRank) { return GroupRank::kBestTwo; }
constexpr auto LastOf(LayerRope) { return LayerRope::kNone; }
constexpr auto LastOf(Mixer) { return Mixer::kDeltaRule; }

struct Option {
  std::string_view name;
  Field field;
};

// Ascending by name.
constexpr Option kOptions[] = {
    {"activation", &ModelConfig::activation},
    {"attention_gate", &ModelConfig::attention_gate},
    {"choice_bias", &ModelConfig::choice_bias},
    {"conv_kernel", &ModelConfig::conv_kernel},
    {"delta_key_dim", &ModelConfig::delta_key_dim},
    {"delta_key_heads", &ModelConfig::delta_key_heads},
    {"delta_value_dim", &ModelConfig::delta_value_dim},
    {"delta_value_heads", &ModelConfig::delta_value_heads},
    {"gating", &ModelConfig::gating},
    {"group_rank", &ModelConfig::group_rank},
    {"kv_lora_rank", &ModelConfig::kv_lora_rank},
    {"layers.chunk", &LayerConfig::chunk},
    {"layers.mixer", &LayerConfig::mixer},
    {"layers.rope", &LayerConfig::rope},
    {"layers.window", &LayerConfig::window},
    {"local_rope_theta", &ModelConfig::local_rope_theta},
    {"long_rope_divisors", &ModelConfig::long_rope_divisors},
    {"n_expert_groups", &ModelConfig::n_expert_groups},
    {"n_groups_used", &ModelConfig::n_groups_used},
    {"nope_dim", &ModelConfig::nope_dim},
    {"norm", &ModelConfig::norm},
    {"q_lora_rank", &ModelConfig::q_lora_rank},
    {"rope_magnitude", &ModelConfig::rope_magnitude},
    {"rope_original_context", &ModelConfig::rope_original_context},
    {"routed_scale", &ModelConfig::routed_scale},
    {"router_jitter", &ModelConfig::router_jitter},
    {"swiglu_alpha", &ModelConfig::swiglu_alpha},
    {"swiglu_limit", &ModelConfig::swiglu_limit},
    {"temperature_floor", &ModelConfig::temperature_floor},
    {"temperature_scale", &ModelConfig::temperature_scale},
    {"topk_norm_floor", &ModelConfig::topk_norm_floor},
    {"v_head_dim", &ModelConfig::v_head_dim},
    {"weighted_inputs", &ModelConfig::weighted_inputs},
};
static_assert(std::ranges::is_sorted(kOptions, {}, &Option::name));

// Every value is stored in 64 bits: numbers as they are, floats by their bits.
uint64_t ToBits(int value) { return static_cast<uint64_t>(int64_t{value}); }
uint64_t ToBits(bool value) { return value ? 1 : 0; }
uint64_t ToBits(float value) { return std::bit_cast<uint32_t>(value); }
uint64_t ToBits(double value) { return std::bit_cast<uint64_t>(value); }
template <typename E>
requires std::is_enum_v<E> uint64_t ToBits(E value) { return static_cast<uint64_t>(value); }

bool FromBits(uint64_t bits, int& value) {
  value = static_cast<int>(bits);
  return bits <= INT32_MAX;
}
bool FromBits(uint64_t bits, bool& value) {
  value = bits != 0;
  return bits <= 1;
}
bool FromBits(uint64_t bits, float& value) {
  value = std::bit_cast<float>(static_cast<uint32_t>(bits));
  return bits <= UINT32_MAX;
}
bool FromBits(uint64_t bits, double& value) {
  value = std::bit_cast<double>(bits);
  return true;
}
template <typename E>
requires std::is_enum_v<E>
bool FromBits(uint64_t bits, E& value) {
  if (bits > ToBits(LastOf(value))) return false;
  value = static_cast<E>(bits);
  return true;
}

// The option's values in a config: one, or one for each entry of a list or for each layer.
template <typename T>
std::vector<uint64_t> BitsOf(const ModelConfig& config, OfModel<T> field) {
  if constexpr (std::is_same_v<T, std::vector<float>>) {
    std::vector<uint64_t> bits;
    for (const float value : config.*field) bits.push_back(ToBits(value));
    return bits;
  } else {
    return {ToBits(config.*field)};
  }
}
template <typename T>
std::vector<uint64_t> BitsOf(const ModelConfig& config, OfLayer<T> field) {
  std::vector<uint64_t> bits;
  for (const LayerConfig& layer : config.layers) bits.push_back(ToBits(layer.*field));
  return bits;
}

template <typename T>
bool SetBits(const std::vector<uint64_t>& bits, OfModel<T> field, ModelConfig& config) {
  if constexpr (std::is_same_v<T, std::vector<float>>) {
    (config.*field).resize(bits.size());
    bool fit = true;
    for (size_t i = 0; i < bits.size(); ++i) fit = FromBits(bits[i], (config.*field)[i]) && fit;
    return fit;
  } else {
    return bits.size() == 1 && FromBits(bits[0], config.*field);
  }
}
template <typename T>
bool SetBits(const std::vector<uint64_t>& bits, OfLayer<T> field, ModelConfig& config) {
  bool fit = bits.size() == config.layers.size();
  for (size_t i = 0; fit && i < bits.size(); ++i) fit = FromBits(bits[i], config.layers[i].*field);
  return fit;
}

std::vector<uint64_t> BitsOf(const ModelConfig& config, const Option& option) {
  return std::visit([&](auto field) { return BitsOf(config, field); }, option.field);
}

// The same of a config of as many layers that has no options.
std::vector<uint64_t> DefaultsOf(const ModelConfig& config, const Option& option) {
  ModelConfig defaults;
  defaults.layers.resize(config.layers.size());
  return BitsOf(defaults, option);
}

std::vector<const Option*> Set(const ModelConfig& config) {
  std::vector<const Option*> set;
  for (const Option& option : kOptions) {
    if (BitsOf(config, option) != DefaultsOf(config, option)) set.push_back(&option);
  }
  return set;
}

}  // namespace

bool HasOptions(const ModelConfig& config) { return !Set(config).empty(); }

void EncodeOptions(const ModelConfig& config, ByteWriter& writer) {
  const std::vector<const Option*> set = Set(config);
  writer.U32(static_cast<uint32_t>(set.size()));
  for (const Option* option : set) {
    writer.String(option->name);
    const std::vector<uint64_t> values = BitsOf(config, *option);
    writer.U32(static_cast<uint32_t>(values.size()));
    for (const uint64_t value : values) writer.U64(value);
  }
}

absl::Status DecodeOptions(ByteReader& reader, ModelConfig& config) {
  SHOAL_ASSIGN_OR_RETURN(const uint32_t n, reader.Count(std::size(kOptions), 2 * sizeof(uint32_t)));
  for (uint32_t i = 0; i < n; ++i) {
    SHOAL_ASSIGN_OR_RETURN(const std::string_view name, reader.String(kMaxOptionName));
    const auto* const option = std::ranges::find(kOptions, name, &Option::name);
    if (option == std::end(kOptions)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "option ", Quoted(name), " is unknown to this release; use a newer one, or import anew"));
    }
    SHOAL_ASSIGN_OR_RETURN(const uint32_t n_values, reader.Count(kMaxDim, sizeof(uint64_t)));
    std::vector<uint64_t> values(n_values);
    for (uint64_t& value : values) {
      SHOAL_ASSIGN_OR_RETURN(value, reader.U64());
    }
    const auto set = [&](auto field) { return SetBits(values, field, config); };
    if (std::visit(set, option->field)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "option ", Quoted(name), ": ", n_values,
        " values are not as many as it takes, or one of them is out of its type's range"));
  }
  return absl::OkStatus();
}

}  // namespace shoal
