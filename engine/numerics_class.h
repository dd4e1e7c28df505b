#pragma once

#include <string>

#include "engine/expert_rows.h"

namespace shoal {

// Names the arithmetic that experts' rows come from: the contracts' version and the form of the
// rows (docs/arithmetic.md). Results of one model may stand in for one another only inside one
// class; the instruction set is no part of it.
inline std::string NumericsClass(RowFormat format, bool activations_f32) {
  std::string name = "arithmetic-1/";
  name += format == RowFormat::kQuantized ? "q8x32-f16" : "f32";
  if (activations_f32) name += "/activations-f32";
  return name;
}

}  // namespace shoal
