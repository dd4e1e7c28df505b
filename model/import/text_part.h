#pragma once

#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "model/families/family.h"
#include "model/import/json_values.h"

namespace shoal {

// Models that also see or hear keep the model that reads text as one part among others: in
// config.json under text_config, its tensors under longer names. Only that part is read.

// text_config of such a file as a config.json of its own. Refused: a text part of another
// model_type than `type`, and keys of the whole that are not known.
absl::StatusOr<JsonValues> TextPartOf(const JsonValues& file, const CheckpointType& type);

// How checkpoints name the text part's tensors: by each pair, what stands in place of the first
// name's beginning.
struct PartNames {
  std::string_view model;  // Of "model.".
  std::string_view head;   // Of "lm_head.".
};
std::span<const PartNames> KnownPartNames();

// The tensor's name in the whole.
std::string NameInWhole(std::string_view name, const PartNames& names);

// True for tensors of parts that do not read text.
bool IsOfOtherPart(std::string_view name);

}  // namespace shoal
