#pragma once

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "model/families/family.h"
#include "model/import/json_values.h"
#include "model/model_config.h"

namespace shoal {

inline constexpr size_t kMaxConfigBytes = size_t{1} << 20;
inline constexpr size_t kMaxConfigValues = 16'384;

// What a checkpoint's config.json says.
struct CheckpointConfig {
  const CheckpointType* type = nullptr;
  ModelConfig config;
  bool is_part = false;   // The folder has other parts beside the one that reads text.
  int n_more_layers = 0;  // Stored behind the last one, and not used.
  // Of the tensors that models of the type may lack, those that this one has and does not have.
  std::vector<TensorRole> present;
  std::vector<TensorRole> absent;
};

// The forward pass's numbers from config.json, in its older and its newer spelling, with the
// library's defaults where keys are absent. Refused by name: model types that no table in
// model/families/ has, options that would change the arithmetic into one that is not computed, and
// keys that are not known. Whether the head is the embedding is as the file says. Of a model with
// other parts beside, text_config is read.
absl::StatusOr<CheckpointConfig> ReadCheckpointConfig(const JsonValues& file);

}  // namespace shoal
