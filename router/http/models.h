#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "router/http/served_model.h"

namespace shoal {

// GET /v1/models and GET /v1/models/{id}. Thread-safe.
class Models {
 public:
  explicit Models(const ServedModel* model) : model_(model) {}  // Outlives this.

  std::string List() const;
  // NotFound for any but the served model.
  absl::StatusOr<std::string> Get(std::string_view id) const;

 private:
  const ServedModel* const model_;
};

}  // namespace shoal
