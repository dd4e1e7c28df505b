#include "model/import/checkpoint_layers.h"

#include <algorithm>
#include <climits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

constexpr char kChunked[] = "'chunked_attention'";

class LayersReader {
 public:
  LayersReader(const JsonValues& file, const FamilyCheckpoint& checkpoint, ModelConfig* config)
      : file_(file),
        type_(*checkpoint.type),
        family_(*checkpoint.family),
        config_(*config),
        layers_(static_cast<size_t>(config->n_layers)) {}

  absl::Status Read() {
    SHOAL_RETURN_IF_ERROR(ReadDense());
    SHOAL_RETURN_IF_ERROR(ReadKinds());
    if (RowOf(ConfigRule::kRopeLayers) != nullptr) SHOAL_RETURN_IF_ERROR(ReadRopeLayers());
    const bool alike = std::ranges::all_of(
        layers_, [](const LayerConfig& layer) { return layer == LayerConfig{}; });
    if (!alike) config_.layers = std::move(layers_);
    return absl::OkStatus();
  }

 private:
  absl::Status Refuse(std::string_view key, const std::string& says) const {
    return absl::InvalidArgumentError(absl::StrCat(file_.name(), ": key ", Quoted(key), " is ",
                                                   file_.Text(key), says, "; use another model"));
  }

  const ConfigKey* RowOf(ConfigRule rule) const {
    const auto found = std::ranges::find_if(type_.keys, [rule](const ConfigKey& key) {
      const auto* is = std::get_if<ConfigRule>(&key.says);
      return is != nullptr && *is == rule;
    });
    return found == type_.keys.end() ? nullptr : &*found;
  }

  // The key that the type has that rule for, if the file has it.
  std::optional<std::string> Find(ConfigRule rule) const {
    const ConfigKey* row = RowOf(rule);
    if (row == nullptr) return std::nullopt;
    for (const std::string_view name : {row->key, row->also}) {
      if (!name.empty() && file_.Has(name)) return std::string(name);
    }
    return std::nullopt;
  }

  absl::StatusOr<int> ReadCount(const std::string& key) const {
    SHOAL_ASSIGN_OR_RETURN(const uint64_t value, file_.GetUint(key));
    if (value <= INT_MAX) return static_cast<int>(value);
    return Refuse(key, absl::StrCat(", above the limit of ", INT_MAX));
  }
  // Null is `otherwise`; absent, what the type's row says.
  absl::StatusOr<int> ReadCountOr(ConfigRule rule, int otherwise) const {
    if (const auto key = Find(rule)) return ReadCount(*key);
    const ConfigKey* row = RowOf(rule);
    if (row == nullptr || !row->absent || file_.Mentions(row->key)) return otherwise;
    return static_cast<int>(*row->absent);
  }

  absl::Status ReadDense() {
    if (const auto key = Find(ConfigRule::kDenseLayers)) {
      for (uint64_t i = 0; i < file_.Length(*key); ++i) {
        SHOAL_ASSIGN_OR_RETURN(const int layer, ReadCount(absl::StrCat(*key, ".", i)));
        if (layer < config_.n_layers) layers_[static_cast<size_t>(layer)].dense = true;
      }
    }
    SHOAL_ASSIGN_OR_RETURN(const int step, ReadCountOr(ConfigRule::kSparseStep, 1));
    if (step < 1) return Refuse(*Find(ConfigRule::kSparseStep), ", below 1");
    SHOAL_ASSIGN_OR_RETURN(int n_leading, ReadCountOr(ConfigRule::kLeadingDense, 0));
    int last = config_.n_layers - 1;
    if (const auto key = Find(ConfigRule::kLastRouted); key && file_.Text(*key) != "-1") {
      SHOAL_ASSIGN_OR_RETURN(last, ReadCount(*key));
    }
    const auto types = Find(ConfigRule::kMlpLayerTypes);
    if (types) {
      SHOAL_RETURN_IF_ERROR(CheckLength(*types));
      n_leading = 0;
    }
    if (const auto key = Find(ConfigRule::kRoutedLayers)) return ReadRoutedLayers(*key);
    for (int i = 0; i < config_.n_layers; ++i) {
      LayerConfig& layer = layers_[static_cast<size_t>(i)];
      layer.dense = layer.dense || (i + 1) % step != 0 || i < n_leading || i > last;
      if (!types) continue;
      const std::string key = absl::StrCat(*types, ".", i);
      layer.dense = file_.Text(key) == "'dense'";
      if (layer.dense || file_.Text(key) == "'sparse'") continue;
      return Refuse(key, "; only 'dense' and 'sparse' are computed here");
    }
    return absl::OkStatus();
  }

  absl::Status ReadRoutedLayers(const std::string& key) {
    for (LayerConfig& layer : layers_) layer.dense = true;
    for (uint64_t i = 0; i < file_.Length(key); ++i) {
      SHOAL_ASSIGN_OR_RETURN(const int layer, ReadCount(absl::StrCat(key, ".", i)));
      if (layer < config_.n_layers) layers_[static_cast<size_t>(layer)].dense = false;
    }
    return absl::OkStatus();
  }

  // Which layers have rope, and which chunks, in families that have any: those with rope, unless
  // layer_types says otherwise.
  absl::Status ReadRopeLayers() {
    SHOAL_ASSIGN_OR_RETURN(const int chunk, ReadCountOr(ConfigRule::kChunk, 0));
    SHOAL_ASSIGN_OR_RETURN(const int period,
                           ReadCountOr(ConfigRule::kNoRopePeriod, family_.no_rope_period));
    if (period < 1) return Refuse(*Find(ConfigRule::kNoRopePeriod), ", below 1");
    const auto list = Find(ConfigRule::kRopeLayers);
    const bool listed = list && file_.Length(*list) > 0;
    if (listed) SHOAL_RETURN_IF_ERROR(CheckLength(*list));
    for (int i = 0; i < config_.n_layers; ++i) {
      LayerConfig& layer = layers_[static_cast<size_t>(i)];
      int has_rope = (i + 1) % period;
      if (listed) {
        SHOAL_ASSIGN_OR_RETURN(has_rope, ReadCount(absl::StrCat(*list, ".", i)));
      }
      if (has_rope == 0) layer.rope = LayerRope::kNone;
      if (RowOf(ConfigRule::kChunk) == nullptr) continue;
      const std::string type = file_.Text(absl::StrCat("layer_types.", i));
      if (type == "null" ? has_rope == 0 : type != kChunked) continue;
      if (chunk == 0) {
        return Refuse(RowOf(ConfigRule::kChunk)->key, ", but layers have chunks");
      }
      layer.chunk = chunk < config_.context_length ? chunk : 0;
    }
    return absl::OkStatus();
  }

  absl::Status CheckLength(const std::string& key) const {
    if (file_.Length(key) == layers_.size()) return absl::OkStatus();
    return Refuse(key, absl::StrCat(" of ", file_.Length(key), " entries, not num_hidden_layers, ",
                                    layers_.size()));
  }

  // What layers mix positions with, and which have a window: as layer_types says, or else all from
  // max_window_layers on but the last of every period. One that covers the whole context is none.
  absl::Status ReadKinds() {
    SHOAL_ASSIGN_OR_RETURN(int window, ReadCountOr(ConfigRule::kWindow, 0));
    if (RowOf(ConfigRule::kWindowSwitch) != nullptr) {
      bool on = false;
      if (const auto key = Find(ConfigRule::kWindowSwitch)) {
        SHOAL_ASSIGN_OR_RETURN(on, file_.GetBool(*key));
      }
      if (!on) window = 0;
    }
    const int usual_period = type_.window_period > 0 ? type_.window_period : family_.window_period;
    SHOAL_ASSIGN_OR_RETURN(const int period, ReadCountOr(ConfigRule::kWindowPeriod, usual_period));
    if (window > 0 && period < 1) return Refuse(*Find(ConfigRule::kWindowPeriod), ", below 1");
    SHOAL_ASSIGN_OR_RETURN(const int first, ReadCountOr(ConfigRule::kWindowStart, 0));
    if (file_.Has("layer_types")) return ReadLayerTypes(window);
    SHOAL_ASSIGN_OR_RETURN(const int interval, ReadCountOr(ConfigRule::kDeltaInterval, 1));
    if (interval < 1) return Refuse(*Find(ConfigRule::kDeltaInterval), ", below 1");
    for (int i = 0; i < config_.n_layers; ++i) {
      LayerConfig& layer = layers_[static_cast<size_t>(i)];
      if (window > 0 && i >= first && (i + 1) % period != 0) SetWindow(window, &layer);
      if ((i + 1) % interval != 0) layer.mixer = Mixer::kDeltaRule;
    }
    return absl::OkStatus();
  }

  void SetWindow(int window, LayerConfig* layer) const {
    if (window < config_.context_length) layer->window = window;
    if (config_.local_rope_theta != 0) layer->rope = LayerRope::kLocal;
  }

  absl::Status ReadLayerTypes(int window) {
    SHOAL_RETURN_IF_ERROR(CheckLength("layer_types"));
    const auto has = [this](TensorRole role) { return FindName(type_, role) != nullptr; };
    for (int i = 0; i < config_.n_layers; ++i) {
      const std::string key = absl::StrCat("layer_types.", i);
      const std::string type = file_.Text(key);
      LayerConfig& layer = layers_[static_cast<size_t>(i)];
      if (type == "'full_attention'") continue;
      if (type == "'sliding_attention'" && RowOf(ConfigRule::kWindow) != nullptr) {
        if (window == 0) return Refuse(key, ", but no window is given or it is switched off");
        SetWindow(window, &layer);
      } else if (type == kChunked && RowOf(ConfigRule::kChunk) != nullptr) {
        continue;  // ReadRopeLayers.
      } else if (type == "'conv'" && has(TensorRole::kConv)) {
        layer.mixer = Mixer::kShortConvolution;
      } else if (type == "'linear_attention'" && has(TensorRole::kDeltaQkv)) {
        layer.mixer = Mixer::kDeltaRule;
      } else {
        return Refuse(key, ", which is not computed for this model_type");
      }
    }
    return absl::OkStatus();
  }

  const JsonValues& file_;
  const CheckpointType& type_;
  const Family& family_;
  ModelConfig& config_;
  std::vector<LayerConfig> layers_;
};

}  // namespace

absl::Status ReadCheckpointLayers(const JsonValues& file, const FamilyCheckpoint& checkpoint,
                                  ModelConfig* config) {
  return LayersReader(file, checkpoint, config).Read();
}

}  // namespace shoal
