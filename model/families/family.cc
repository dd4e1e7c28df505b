#include "model/families/family.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "base/check.h"
#include "model/families/tables.h"

namespace shoal {
namespace {

constexpr const Family* kFamilies[] = {
    &kDeepSeek2,  &kErnie45Moe, &kGemma3,   &kGlm4Moe, &kGptOss,   &kGranite,   &kGraniteMoe,
    &kHunyuanMoe, &kInternLm2,  &kLfm2Moe,  &kLlama,   &kLlama4,   &kOlmoe,     &kPhi3,
    &kPhiMoe,     &kQwen2,      &kQwen2Moe, &kQwen3,   &kQwen3Moe, &kQwen3Next, &kSmolLm3};

void Replace(std::string* name, char mark, int number) {
  const size_t at = name->find(mark);
  if (at != std::string::npos) name->replace(at, 1, std::to_string(number));
}

}  // namespace

std::span<const Family* const> AllFamilies() { return kFamilies; }

const Family* FindFamily(std::string_view architecture) {
  for (const Family* family : kFamilies) {
    if (family->architecture == architecture) return family;
  }
  return nullptr;
}

ModelConfig ImpliedConfig(const Family& family) {
  ModelConfig config;
  config.architecture = std::string(family.architecture);
  config.rope_pairing = family.rope_pairing;
  config.qk_norm = family.qk_norm;
  config.norm_topk_prob = family.norm_topk_prob;
  config.norm = family.norm;
  config.activation = family.activation;
  config.swiglu_alpha = family.swiglu_alpha;
  config.swiglu_limit = family.swiglu_limit;
  config.gating = family.gating;
  config.router_jitter = family.router_jitter;
  config.topk_norm_floor = family.topk_norm_floor;
  return config;
}

std::string SupportedArchitectures() {
  return absl::StrJoin(kFamilies, ", ", [](std::string* out, const Family* family) {
    out->append(family->architecture);
  });
}

namespace {

FamilyCheckpoint FindBy(std::string_view CheckpointType::*name, std::string_view value) {
  for (const Family* family : kFamilies) {
    for (const CheckpointType& type : family->checkpoints) {
      if (type.*name == value && !value.empty()) return {family, &type};
    }
  }
  return {};
}

}  // namespace

FamilyCheckpoint FindCheckpoint(std::string_view model_type) {
  return FindBy(&CheckpointType::model_type, model_type);
}

FamilyCheckpoint FindTextOf(std::string_view model_type) {
  return FindBy(&CheckpointType::text_of, model_type);
}

std::string SupportedCheckpoints() {
  std::vector<std::string> types;
  for (const Family* family : kFamilies) {
    for (const CheckpointType& type : family->checkpoints) {
      types.emplace_back(type.model_type);
      if (!type.text_of.empty()) types.emplace_back(type.text_of);
    }
  }
  std::sort(types.begin(), types.end());
  return absl::StrJoin(types, ", ");
}

const CheckpointName* FindName(const CheckpointType& type, TensorRole role) {
  const auto found = std::find_if(type.tensors.begin(), type.tensors.end(),
                                  [role](const CheckpointName& n) { return n.role == role; });
  return found == type.tensors.end() ? nullptr : &*found;
}

std::string TensorName(const CheckpointName& name, int layer, int expert) {
  std::string out(name.name);
  Replace(&out, '#', layer);
  Replace(&out, '@', expert);
  return out;
}

bool HasTensorPerExpert(const CheckpointName& name) {
  return name.name.find('@') != std::string_view::npos;
}

int64_t ExtentOf(Extent extent, const ModelConfig& config) {
  switch (extent) {
    case Extent::kNone:
      return 0;
    case Extent::kVocab:
      return config.vocab_size;
    case Extent::kHidden:
      return config.hidden_dim;
    case Extent::kQueries:
      return int64_t{config.n_heads} * config.head_dim;
    case Extent::kKeys:
      return int64_t{config.n_kv_heads} * config.head_dim;
    case Extent::kHeadDim:
      return config.head_dim;
    case Extent::kGroupQueries:
      return int64_t{config.n_heads} / config.n_kv_heads * config.head_dim;
    case Extent::kHeads:
      return config.n_heads;
    case Extent::kExperts:
      return config.n_experts;
    case Extent::kFfn:
      return config.ffn_dim;
    case Extent::kDenseFfn:
      return config.dense_ffn_dim;
    case Extent::kSharedFfn:
      return config.shared_ffn_dim;
    case Extent::kRopePairs:
      return config.rope_dim / 2;
    case Extent::kOne:
      return 1;
    case Extent::kQLora:
      return config.q_lora_rank;
    case Extent::kKvLora:
      return config.kv_lora_rank;
    case Extent::kNope:
      return config.nope_dim;
    case Extent::kVHead:
      return config.v_head_dim;
    case Extent::kLatentQueries:
      return int64_t{config.n_heads} * (config.nope_dim + config.rope_dim);
    case Extent::kLatentOutputs:
      return int64_t{config.n_heads} * config.v_head_dim;
    case Extent::kLatentKeysValues:
      return int64_t{config.n_heads} * (config.nope_dim + config.v_head_dim);
    case Extent::kGatedQueries:
      return int64_t{2} * config.n_heads * config.head_dim;
    case Extent::kConvChannels:
      return int64_t{3} * config.hidden_dim;
    case Extent::kConvKernel:
      return config.conv_kernel;
    case Extent::kDeltaChannels:
      return config.DeltaChannels();
    case Extent::kDeltaHeads:
      return config.delta_value_heads;
    case Extent::kDeltaTwoPerHead:
      return int64_t{2} * config.delta_value_heads;
    case Extent::kDeltaValue:
      return config.delta_value_dim;
    case Extent::kDeltaValues:
      return config.DeltaValues();
    case Extent::kDeltaKey:
      return config.delta_key_dim;
    case Extent::kDeltaGroupValues:
      return config.DeltaValues() / config.delta_key_heads;
  }
  return 0;
}

const TensorSpec* FindSpec(const Family& family, TensorRole role) {
  const auto found = std::find_if(family.tensors.begin(), family.tensors.end(),
                                  [role](const TensorSpec& spec) { return spec.role == role; });
  return found == family.tensors.end() ? nullptr : &*found;
}

bool IsPerLayer(const TensorSpec& spec) { return spec.name.find('#') != std::string_view::npos; }

namespace {

// Whether the layer mixes positions in a way that takes such a tensor; true of all other tensors.
bool AppliesToMixer(TensorRole role, const ModelConfig& config, int layer) {
  const Mixer mixer = config.MixerOf(layer);
  switch (role) {
    case TensorRole::kAttnQ:
      return mixer == Mixer::kAttention && config.q_lora_rank == 0;
    case TensorRole::kAttnQA:
    case TensorRole::kAttnQANorm:
    case TensorRole::kAttnQB:
      return mixer == Mixer::kAttention && config.q_lora_rank > 0;
    case TensorRole::kAttnK:
    case TensorRole::kAttnV:
    case TensorRole::kAttnOutput:
    case TensorRole::kAttnQNorm:
    case TensorRole::kAttnKNorm:
    case TensorRole::kAttnKvA:
    case TensorRole::kAttnKvANorm:
    case TensorRole::kAttnKB:
    case TensorRole::kAttnVB:
    case TensorRole::kAttnKvB:
      return mixer == Mixer::kAttention;
    case TensorRole::kConvIn:
    case TensorRole::kConv:
    case TensorRole::kConvOut:
      return mixer == Mixer::kShortConvolution;
    case TensorRole::kDeltaQkv:
    case TensorRole::kDeltaGate:
    case TensorRole::kDeltaBa:
    case TensorRole::kDeltaConv:
    case TensorRole::kDeltaA:
    case TensorRole::kDeltaDtBias:
    case TensorRole::kDeltaNorm:
    case TensorRole::kDeltaOut:
      return mixer == Mixer::kDeltaRule;
    default:
      return true;
  }
}

}  // namespace

bool Applies(const TensorSpec& spec, const ModelConfig& config, int layer) {
  if (IsPerLayer(spec) && !AppliesToMixer(spec.role, config, layer)) return false;
  switch (spec.role) {
    case TensorRole::kFfnGate:
    case TensorRole::kFfnUp:
    case TensorRole::kFfnDown:
      return config.IsDense(layer);
    case TensorRole::kFfnGateInp:
    case TensorRole::kFfnGateExps:
    case TensorRole::kFfnUpExps:
    case TensorRole::kFfnDownExps:
    case TensorRole::kFfnGateInpBias:
    case TensorRole::kFfnGateExpsBias:
    case TensorRole::kFfnUpExpsBias:
    case TensorRole::kFfnDownExpsBias:
      return !config.IsDense(layer);
    case TensorRole::kAttnQNorm:
    case TensorRole::kAttnKNorm:
      return config.qk_norm != QkNorm::kNone;
    case TensorRole::kChoiceBias:
      return config.choice_bias && !config.IsDense(layer);
    case TensorRole::kSharedGateInp:
      return config.HasSharedExpert(layer) && config.shared_gate;
    case TensorRole::kFfnGateShexp:
    case TensorRole::kFfnUpShexp:
    case TensorRole::kFfnDownShexp:
      return config.HasSharedExpert(layer);
    default:
      return true;
  }
}

TensorPlace PlaceOf(const TensorSpec& spec) {
  switch (spec.role) {
    case TensorRole::kRopeFreqs:
    case TensorRole::kRopeFactorsShort:
    case TensorRole::kRopeFactorsLong:
      return TensorPlace::kConfig;
    case TensorRole::kTokenEmbd:
      return TensorPlace::kEmbedding;
    case TensorRole::kFfnGate:
    case TensorRole::kFfnUp:
    case TensorRole::kFfnDown:
    case TensorRole::kFfnGateExps:
    case TensorRole::kFfnUpExps:
    case TensorRole::kFfnDownExps:
    case TensorRole::kFfnGateExpsBias:
    case TensorRole::kFfnUpExpsBias:
    case TensorRole::kFfnDownExpsBias:
    case TensorRole::kFfnGateShexp:
    case TensorRole::kFfnUpShexp:
    case TensorRole::kFfnDownShexp:
      return TensorPlace::kExpert;
    default:
      return IsPerLayer(spec) ? TensorPlace::kTrunkLayer : TensorPlace::kOutput;
  }
}

std::array<TensorRole, 3> ExpertRoles(const ModelConfig& config, int layer, int expert) {
  using enum TensorRole;
  if (config.IsDense(layer)) return {kFfnGate, kFfnUp, kFfnDown};
  if (expert < config.n_experts) return {kFfnGateExps, kFfnUpExps, kFfnDownExps};
  return {kFfnGateShexp, kFfnUpShexp, kFfnDownShexp};
}

bool HoldsExpert(const TensorSpec& spec, const ModelConfig& config, int layer, int expert) {
  const auto has = [&](const auto& roles) {
    return std::find(roles.begin(), roles.end(), spec.role) != roles.end();
  };
  const bool routed = !config.IsDense(layer) && expert < config.n_experts;
  return has(ExpertRoles(config, layer, expert)) || (routed && has(kExpertBiasRoles));
}

bool IsExpertStack(const TensorSpec& spec) {
  return spec.shape[0] == Extent::kExperts && PlaceOf(spec) == TensorPlace::kExpert;
}

std::string TensorName(std::string_view pattern, int layer) {
  std::string name(pattern);
  Replace(&name, '#', layer);
  return name;
}

std::string TensorName(const TensorSpec& spec, int layer) { return TensorName(spec.name, layer); }

std::string TensorName(const Family& family, TensorRole role, int layer) {
  const TensorSpec* spec = FindSpec(family, role);
  SHOAL_CHECK(spec != nullptr);
  return TensorName(*spec, layer);
}

std::vector<int64_t> TensorShape(const TensorSpec& spec, const ModelConfig& config) {
  std::vector<int64_t> shape;
  for (const Extent extent : spec.shape) {
    if (extent != Extent::kNone) shape.push_back(ExtentOf(extent, config));
  }
  return shape;
}

}  // namespace shoal
