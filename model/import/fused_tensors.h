#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/families/family.h"
#include "model/import/model_file.h"
#include "model/model_config.h"

namespace shoal {

// What files of the family may have fused.
std::vector<FusedTensor> FusedTensorsOf(const Family& family);

// Whether `file` has `fused` in `layer`, rather than its parts one by one. The first part alone
// decides: the fused tensor may bear another's name.
bool IsFused(const ModelFile& file, const Family& family, const FusedTensor& fused, int layer);

// The same file with the parts of fused tensors as tensors of their own. What IsFused has the shape
// that the family's table gives its parts together.
std::unique_ptr<ModelFile> SplitFusedTensors(std::unique_ptr<ModelFile> file, const Family& family,
                                             const ModelConfig& config);

}  // namespace shoal
