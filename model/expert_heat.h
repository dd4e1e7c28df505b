#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/model_config.h"

namespace shoal {

// How much each routed expert was used by some texts; dense layers and shared experts, which every
// row takes, have no part in it.
struct ExpertHeat {
  struct Expert {
    uint64_t rows = 0;  // Rows that took it,
    double weight = 0;  // and the sum of their gate weights.
  };
  std::string model = {};                        // For people.
  int64_t n_tokens = 0;                          // Rows of each layer.
  int n_experts = 0;                             // Of a layer.
  std::vector<std::vector<Expert>> layers = {};  // [n_layers][n_experts], empty for a dense layer.

  // The fewest experts of a layer that have `share`, in (0, 1], of its weight together, hottest
  // first and ties by ascending id: [n_experts]. A layer that no row reached has none.
  std::vector<bool> Hot(int layer, double share) const;
};

inline constexpr size_t kMaxHeatBytes = size_t{64} << 20;

// One object of JSON: "format": "shoal-heat", "version": 1, "model", "n_tokens", "n_experts", and
// "layers", each with "rows" and "weight", arrays of one number an expert, or empty ones.
std::string EncodeHeat(const ExpertHeat& heat);
// InvalidArgument, naming the field, its value and the bound, for anything else.
absl::StatusOr<ExpertHeat> DecodeHeat(std::string_view json);

// InvalidArgument unless `heat` is about a model of these layers and experts.
absl::Status CheckHeat(const ExpertHeat& heat, const ModelConfig& config);

}  // namespace shoal
