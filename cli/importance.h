#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace shoal {

// How much each column of each matrix counted for some texts: a GGUF imatrix file, with a sum of
// squared inputs and a count for each matrix, or each expert's of a stack. Immutable.
class Importance {
 public:
  // InvalidArgument when the file is not one, or holds what cannot be.
  static absl::StatusOr<Importance> Read(const std::string& path);

  // True if the file says something of the tensor.
  bool Has(std::string_view tensor) const { return tensors_.find(tensor) != tensors_.end(); }

  // The mean square of each of `n_cols` columns of the tensor's matrix `matrix`; empty where the
  // file says nothing. InvalidArgument when it is about another shape.
  absl::StatusOr<std::span<const float>> Of(std::string_view tensor, int64_t matrix,
                                            int64_t n_cols) const;

 private:
  struct Matrices {
    int64_t n_cols = 0;
    std::vector<float> means;   // [n_matrices, n_cols]
    std::vector<bool> counted;  // [n_matrices]
  };
  std::map<std::string, Matrices, std::less<>> tensors_;
};

}  // namespace shoal
