#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "model/weight_source.h"

namespace shoal {

// A foreign model's tensors under the names and in the shapes of the tables in model/families/,
// however they are stored.
class ModelFile : public WeightSource {
 public:
  // What error texts call it.
  virtual const std::string& path() const = 0;
  virtual const std::vector<TensorInfo>& tensors() const = 0;
  virtual uint64_t file_bytes() const = 0;
  // SHA-256, lower-case hex, of everything but the tensors' data: names this model until manifests
  // do.
  virtual std::string HeaderHash() const = 0;
};

// InvalidArgument naming the first element of an F32 tensor that is no finite number. Norms and
// routers decide for every token: one NaN there makes every answer noise.
absl::Status CheckFinite(const ModelFile& file, const TensorInfo& tensor);

}  // namespace shoal
