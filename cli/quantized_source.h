#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "cli/importance.h"
#include "model/expert_heat.h"
#include "model/model_config.h"
#include "model/weight_source.h"

namespace shoal {

struct QuantizeOptions {
  std::string mix;                         // As `shoal import --quantize` spells it: "q4_k_m".
  std::optional<DType> experts_type = {};  // For experts instead of the mix's.
  // Or null. Then the fewest experts of each layer that have `hot_share` of its gate weight keep
  // the mix's types, and experts_type is for the others.
  std::shared_ptr<const ExpertHeat> heat = {};
  double hot_share = 0.5;
  std::shared_ptr<const Importance> importance = {};  // Or null.
  int n_threads = 1;
};

// "q8_0, q4_0, ...": what a mix may be.
std::string QuantizeMixes();
// The type of that mix, if it is one; of most matrices.
std::optional<DType> TypeOfMix(std::string_view mix);

// What was lost, per tensor and type.
struct Loss {
  double lost = 0.0;  // Sum of squared differences.
  double all = 0.0;   // Of squared weights.
};
using Losses = std::map<std::pair<std::string, DType>, Loss>;

// The tensors of `source` with matrices made smaller as they are read; norms, routers, biases, and
// what is no larger than it would become stay. Each byte read adds to *losses. `source` and
// `losses` outlive the result. One thread reads at a time; n_threads work for it.
absl::StatusOr<std::unique_ptr<WeightSource>> QuantizeSource(const WeightSource& source,
                                                             const ModelConfig& config,
                                                             const QuantizeOptions& options,
                                                             Losses* losses);

}  // namespace shoal
