#include "model/import/text_part.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/status_macros.h"
#include "model/import/harmless_keys.h"

namespace shoal {
namespace {

constexpr std::string_view kText = "text_config";

// What the whole's own keys say counts for the text part too.
constexpr std::string_view kOfAllParts[] = {"quantization_config", "tie_word_embeddings"};

// Keys of the whole that are read elsewhere, or are of its other parts.
constexpr std::string_view kOfOthers[] = {"model_type",           "text_config",
                                          "vision_config",        "eos_token_id",
                                          "audio_config",         "image_token_index",
                                          "image_token_id",       "boi_token_index",
                                          "eoi_token_index",      "boi_token_id",
                                          "eoi_token_id",         "mm_tokens_per_image",
                                          "spatial_merge_size",   "projector_hidden_act",
                                          "vision_feature_layer", "multimodal_projector_bias"};

constexpr PartNames kNames[] = {{"language_model.model.", "language_model.lm_head."},
                                {"model.language_model.", "lm_head."},
                                {"model.language_model.model.", "language_model.lm_head."}};
constexpr std::string_view kOtherParts[] = {"vision_tower.", "vision_model.",
                                            "multi_modal_projector."};

bool IsKnown(std::string_view key) {
  const auto in = [key](const auto& list) { return std::ranges::find(list, key) != list.end(); };
  return in(std::span(kOfAllParts)) || in(std::span(kOfOthers)) || IsHarmlessKey(key);
}

}  // namespace

absl::StatusOr<JsonValues> TextPartOf(const JsonValues& file, const CheckpointType& type) {
  const std::string type_key = absl::StrCat(std::string(kText), ".model_type");
  SHOAL_ASSIGN_OR_RETURN(const std::string text_type, file.GetString(type_key));
  if (text_type != type.model_type) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.name(), ": key ", Quoted(type_key), " is ", Quoted(text_type),
                     "; in model_type ", Quoted(type.text_of), " only ", Quoted(type.model_type),
                     " is computed here: use another model"));
  }
  for (const std::string& name : file.Names()) {
    if (IsKnown(name) || !file.Has(name)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        file.name(), ": key ", Quoted(name), " is ", file.Text(name),
        ", which is not known for model_type ", std::string(type.text_of),
        "; take the key out if answers to text do not depend on it, or use another model"));
  }
  return file.Inside(kText, kOfAllParts);
}

std::span<const PartNames> KnownPartNames() { return kNames; }

std::string NameInWhole(std::string_view name, const PartNames& names) {
  constexpr std::string_view kModel = "model.";
  constexpr std::string_view kHead = "lm_head.";
  const auto replaced = [name](std::string_view begin, std::string_view other) {
    return absl::StrCat(std::string(other), std::string(name.substr(begin.size())));
  };
  if (name.starts_with(kModel)) return replaced(kModel, names.model);
  return name.starts_with(kHead) ? replaced(kHead, names.head) : std::string(name);
}

bool IsOfOtherPart(std::string_view name) {
  constexpr std::string_view kModel = "model.";
  if (name.starts_with(kModel)) name.remove_prefix(kModel.size());
  return std::ranges::any_of(kOtherParts,
                             [name](std::string_view part) { return name.starts_with(part); });
}

}  // namespace shoal
