#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "model/import/checkpoint.h"
#include "model/import/checkpoint_config.h"
#include "model/import/checkpoint_view.h"
#include "model/import/model_file.h"

namespace shoal {

// The tensors of a checkpoint's family, ascending by name, and how each is made.
struct CheckpointRecipes {
  std::vector<TensorInfo> tensors = {};
  std::vector<TensorRecipe> recipes = {};  // Parallel to it.
  int n_of_other_parts = 0;                // Stored tensors that do not read text.
};

// Checks that every tensor is there with the right shape and a type that is read, and that no other
// is. `checkpoint` must outlive the result.
absl::StatusOr<CheckpointRecipes> MakeCheckpointRecipes(const Checkpoint& checkpoint,
                                                        const CheckpointConfig& config);

}  // namespace shoal
