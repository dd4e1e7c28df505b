#include "model/import/gguf_model.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <filesystem>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/families/family.h"
#include "model/import/fused_tensors.h"
#include "model/import/gguf_experts.h"
#include "model/import/gguf_keys.h"
#include "model/import/gguf_mixers.h"
#include "model/import/gguf_rope.h"

namespace shoal {
namespace {

struct CountKey {
  std::string_view key;  // After "<architecture>.".
  int ModelConfig::*field;
};
constexpr CountKey kCountKeys[] = {
    {"block_count", &ModelConfig::n_layers},
    {"embedding_length", &ModelConfig::hidden_dim},
    {"attention.head_count", &ModelConfig::n_heads},
};

// Numbers that would change the forward pass into one that we do not compute unless they say 1, or
// 0, which stands for "none" in some files.
constexpr std::string_view kNeutralScales[] = {"rope.scale_linear", "attn_logit_softcapping",
                                               "final_logit_softcapping"};

struct ScaleKey {
  std::string_view key;
  float ModelConfig::*field;
};
constexpr ScaleKey kScaleKeys[] = {
    {"attention.scale", &ModelConfig::attention_scale},
    {"embedding_scale", &ModelConfig::embedding_scale},
    {"residual_scale", &ModelConfig::residual_scale},
    {"logit_scale", &ModelConfig::logit_divisor},
};

// Files differ in whether a single row is a vector or a matrix of one row.
std::span<const int64_t> WithoutOnes(std::span<const int64_t> shape) {
  while (shape.size() > 1 && shape.front() == 1) shape = shape.subspan(1);
  return shape;
}

// Reads one architecture's keys and checks one file's tensors against them.
class ConfigReader : private GgufKeys {
 public:
  ConfigReader(const GgufReader& file, const Family& family)
      : GgufKeys(file, family.architecture),
        file_(file),
        family_(family),
        fused_(FusedTensorsOf(family)) {}

  absl::StatusOr<ModelConfig> Read() {
    config_ = ImpliedConfig(family_);
    if (file_.Has("general.name")) {
      SHOAL_ASSIGN_OR_RETURN(config_.name, file_.GetString("general.name"));
    }
    if (IsMissing(TensorRole::kAttnQNorm)) config_.qk_norm = QkNorm::kNone;
    SHOAL_RETURN_IF_ERROR(ReadNumbers());
    SHOAL_RETURN_IF_ERROR(RefuseUncomputed());
    SHOAL_RETURN_IF_ERROR(ReadExperts(*this, family_, &config_));
    config_.weighted_inputs = family_.weighted_inputs && config_.n_experts > 0;
    const int n_without = family_.n_experts_without_qk_norm;
    if (n_without > 0 && config_.n_experts == n_without) config_.qk_norm = QkNorm::kNone;
    SHOAL_RETURN_IF_ERROR(ReadVocabSize());
    SHOAL_RETURN_IF_ERROR(ReadRope(*this, family_, &config_));
    SHOAL_RETURN_IF_ERROR(ReadMixers(*this, family_, &config_));
    SHOAL_RETURN_IF_ERROR(family_.no_rope_period == 0 ? ReadWindows() : ReadChunks());
    if (absl::Status s = ValidateConfig(config_); !s.ok()) return Refuse(std::string(s.message()));
    SHOAL_RETURN_IF_ERROR(CheckTensors());
    return std::move(config_);
  }

 private:
  absl::Status ReadNumbers() {
    for (const CountKey& count : kCountKeys) {
      SHOAL_ASSIGN_OR_RETURN(config_.*count.field, ReadCount(count.key));
    }
    // The layers behind the others predict tokens after the next one.
    SHOAL_ASSIGN_OR_RETURN(n_skipped_layers_, ReadCountOr("nextn_predict_layers", 0));
    config_.n_layers -= n_skipped_layers_;
    if (config_.n_layers < 1 || config_.n_layers > kMaxLayers) {
      return Refuse(
          absl::StrCat("n_layers is ", config_.n_layers, ", not in [1, ", kMaxLayers, "]"));
    }
    const int usual_dim = config_.n_heads > 0 ? config_.hidden_dim / config_.n_heads : 0;
    SHOAL_ASSIGN_OR_RETURN(config_.head_dim, ReadCountOr("attention.key_length", usual_dim));
    SHOAL_ASSIGN_OR_RETURN(config_.context_length, ReadCount("context_length"));
    SetImpliedScales();
    for (const ScaleKey& scale : kScaleKeys) {
      SHOAL_ASSIGN_OR_RETURN(const double value, ReadFloatOr(scale.key, config_.*scale.field));
      config_.*scale.field = static_cast<float>(value);
    }
    SHOAL_ASSIGN_OR_RETURN(const double eps,
                           file_.GetFloat(Key("attention.layer_norm_rms_epsilon")));
    config_.rms_norm_eps = static_cast<float>(eps);
    return absl::OkStatus();
  }

  // A key that asks for arithmetic we lack is an error: better no answer than a wrong one.
  absl::Status RefuseUncomputed() const {
    for (const std::string_view name : kNeutralScales) {
      SHOAL_ASSIGN_OR_RETURN(const double value, ReadFloatOr(name, 1));
      if (value == 0 || value == 1) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(file_.path(), ": key ", Quoted(Key(name)), " is ", value,
                       "; only 0 and 1 are computed here: use another model"));
    }
    return absl::OkStatus();
  }

  // True if the family's models may have such a tensor and this one has none.
  bool IsMissing(TensorRole role) const {
    const TensorSpec* spec = FindSpec(family_, role);
    return spec != nullptr && spec->optional && file_.Find(TensorName(*spec, 0)) == nullptr;
  }

  bool IsSkipped(std::string_view name) const {
    for (int i = 0; i < n_skipped_layers_; ++i) {
      if (name.starts_with(absl::StrCat("blk.", config_.n_layers + i, "."))) return true;
    }
    return false;
  }

  // What a family implies by its numbers; a key may still say otherwise.
  void SetImpliedScales() {
    if (family_.scaled_embeddings) {
      config_.embedding_scale = std::sqrt(static_cast<float>(config_.hidden_dim));
    }
    if (config_.n_layers == family_.n_layers_scaled_by_width && config_.hidden_dim > 0) {
      config_.attention_scale =
          std::sqrt(static_cast<float>(config_.n_heads) / static_cast<float>(config_.hidden_dim));
    }
  }

  // Which layers have the file's window, and angles of their own with it. One that covers the whole
  // context is none.
  absl::Status ReadWindows() {
    constexpr std::string_view kWindow = "attention.sliding_window";
    constexpr std::string_view kPeriod = "attention.sliding_window_pattern";
    SHOAL_ASSIGN_OR_RETURN(const int window, ReadCountOr(kWindow, 0));
    if (window == 0) return absl::OkStatus();
    const bool covers = window >= config_.context_length;
    if (family_.window_period == 0) {
      return covers ? absl::OkStatus() : RequireCount(kWindow, 0);
    }
    SHOAL_ASSIGN_OR_RETURN(const int period, ReadCountOr(kPeriod, family_.window_period));
    if (period < 1) return Refuse(absl::StrCat("key ", Quoted(Key(kPeriod)), " is 0, below 1"));
    if (family_.local_rope_theta != 0) {
      SHOAL_ASSIGN_OR_RETURN(config_.local_rope_theta,
                             ReadFloatOr("rope.freq_base_swa", family_.local_rope_theta));
    }
    if (covers && config_.local_rope_theta == 0) return absl::OkStatus();
    config_.layers.resize(static_cast<size_t>(config_.n_layers));
    for (size_t i = 0; i < config_.layers.size(); ++i) {
      if ((static_cast<int>(i) + 1) % period == 0) continue;
      config_.layers[i].window = covers ? 0 : window;
      if (config_.local_rope_theta != 0) config_.layers[i].rope = LayerRope::kLocal;
    }
    return absl::OkStatus();
  }

  // Which layers have neither rope nor chunks, and which chunks, in families that have any. A key
  // for chunks of 0 positions: all have rope.
  absl::Status ReadChunks() {
    SHOAL_ASSIGN_OR_RETURN(const int chunk, ReadCountOr("attention.sliding_window", family_.chunk));
    if (chunk == 0 && family_.chunk > 0) return absl::OkStatus();
    config_.temperature_floor = family_.temperature_floor;
    config_.temperature_scale = family_.temperature_scale;
    for (int i = 0; i < config_.n_layers; ++i) {
      LayerConfig& layer = config_.MutableLayer(i);
      if ((i + 1) % family_.no_rope_period == 0) {
        layer.rope = LayerRope::kNone;
      } else {
        layer.chunk = family_.chunk > 0 && chunk < config_.context_length ? chunk : 0;
      }
    }
    return absl::OkStatus();
  }

  absl::Status Missing(const std::string& name) const {
    return Refuse(absl::StrCat("tensor '", name, "' is missing; architecture ",
                               std::string(family_.architecture), " needs it"));
  }

  absl::Status ReadVocabSize() {
    const std::string name = TensorName(family_, TensorRole::kTokenEmbd);
    const TensorInfo* embedding = file_.Find(name);
    if (embedding == nullptr) return Missing(name);
    config_.vocab_size = static_cast<int>(std::min<int64_t>(embedding->shape.front(), INT_MAX));
    constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
    if (!file_.Has(kTokens)) return absl::OkStatus();
    SHOAL_ASSIGN_OR_RETURN(const uint64_t n_tokens, file_.ArrayLength(kTokens));
    if (n_tokens == static_cast<uint64_t>(embedding->shape.front())) return absl::OkStatus();
    return Refuse(absl::StrCat("key '", std::string(kTokens), "' has ", n_tokens,
                               " elements, but tensor '", name, "' has ", embedding->shape.front(),
                               " rows"));
  }

  absl::Status CheckTensors() {
    std::vector<std::string> known;
    for (const TensorSpec& spec : family_.tensors) {
      const int n = IsPerLayer(spec) ? config_.n_layers : 1;
      for (int layer = 0; layer < n; ++layer) {
        if (!Applies(spec, config_, layer)) continue;
        std::string name = TensorName(spec, layer);
        if (const FusedTensor* fused = FusedWith(spec.role, layer)) {
          name = TensorName(fused->name, layer);
          if (spec.role == fused->parts.front()) SHOAL_RETURN_IF_ERROR(CheckFused(*fused, name));
        } else {
          SHOAL_RETURN_IF_ERROR(CheckTensor(spec, name, layer));
        }
        known.push_back(std::move(name));
      }
    }
    std::sort(known.begin(), known.end());
    for (const TensorInfo& tensor : file_.tensors()) {
      if (std::binary_search(known.begin(), known.end(), tensor.name)) continue;
      if (IsSkipped(tensor.name)) continue;
      return Refuse(absl::StrCat("tensor ", Quoted(tensor.name), " is no part of architecture ",
                                 std::string(family_.architecture), " with ", config_.n_layers,
                                 " layers"));
    }
    return absl::OkStatus();
  }

  // What the file has that part in, or null where it has it alone.
  const FusedTensor* FusedWith(TensorRole role, int layer) const {
    for (const FusedTensor& fused : fused_) {
      if (std::ranges::find(fused.parts, role) == fused.parts.end()) continue;
      return IsFused(file_, family_, fused, layer) ? &fused : nullptr;
    }
    return nullptr;
  }

  absl::Status CheckFused(const FusedTensor& fused, const std::string& name) const {
    int64_t n_rows = 0;
    std::vector<int64_t> shape;
    for (const TensorRole part : fused.parts) {
      shape = TensorShape(*FindSpec(family_, part), config_);
      n_rows += shape.at(shape.size() - 2);
    }
    shape.at(shape.size() - 2) = n_rows;
    return CheckShape(*file_.Find(name), shape);
  }

  absl::Status CheckShape(const TensorInfo& tensor, const std::vector<int64_t>& shape) const {
    if (std::ranges::equal(WithoutOnes(tensor.shape), WithoutOnes(shape))) return absl::OkStatus();
    return Refuse(absl::StrCat("tensor '", tensor.name, "' has shape [",
                               absl::StrJoin(tensor.shape, ", "), "], not [",
                               absl::StrJoin(shape, ", "), "] (outermost first)"));
  }

  absl::Status CheckTensor(const TensorSpec& spec, const std::string& name, int layer) {
    const TensorInfo* tensor = file_.Find(name);
    if (tensor == nullptr) {
      const bool elsewhere =
          spec.part_of && file_.Find(TensorName(family_, *spec.part_of, layer)) != nullptr;
      if (!spec.optional && !elsewhere) return Missing(name);
      config_.tied_embeddings = config_.tied_embeddings || spec.role == TensorRole::kOutput;
      return absl::OkStatus();
    }
    SHOAL_RETURN_IF_ERROR(CheckShape(*tensor, TensorShape(spec, config_)));
    if (!spec.f32_only) return absl::OkStatus();
    if (tensor->dtype != DType::kF32) {
      return Refuse(absl::StrCat("tensor '", name, "' has type ",
                                 std::string(Traits(tensor->dtype).name), ", not F32"));
    }
    return CheckFinite(file_, *tensor);
  }

  const GgufReader& file_;
  const Family& family_;
  const std::vector<FusedTensor> fused_;
  ModelConfig config_;
  int n_skipped_layers_ = 0;
};

}  // namespace

absl::StatusOr<ModelConfig> ReadModelConfig(const GgufReader& file) {
  SHOAL_ASSIGN_OR_RETURN(const std::string architecture, file.GetString("general.architecture"));
  const Family* family = FindFamily(architecture);
  if (family == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.path(), ": architecture ", Quoted(architecture),
                     " is not supported; use a model of one of these: ", SupportedArchitectures()));
  }
  return ConfigReader(file, *family).Read();
}

absl::StatusOr<std::string> ReadChatTemplate(const GgufReader& file) {
  constexpr std::string_view kTemplate = "tokenizer.chat_template";
  if (!file.Has(kTemplate)) return std::string();
  return file.GetString(kTemplate);
}

std::string ModelSlug(std::string_view text) {
  constexpr size_t kMaxBytes = 64;
  std::string slug;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool kept = letter || (c >= '0' && c <= '9') || c == '.' || c == '_';
    if (kept) {
      slug += letter ? static_cast<char>(c | 0x20) : c;
    } else if (!slug.empty() && slug.back() != '-') {
      slug += '-';
    }
    if (slug.size() == kMaxBytes) break;
  }
  while (!slug.empty() && slug.back() == '-') slug.pop_back();
  return slug.empty() ? "model" : slug;
}

std::string ModelName(const GgufReader& file) {
  if (const auto name = file.GetString("general.name"); name.ok()) {
    if (std::string slug = ModelSlug(*name); slug != "model") return slug;
  }
  return ModelSlug(std::filesystem::path(file.path()).stem().string());
}

}  // namespace shoal
