#include "router/http/models.h"

#include "router/http/api_error.h"
#include "router/http/reply_json.h"

namespace shoal {

std::string Models::List() const { return ModelListJson(model_->name, model_->created); }

absl::StatusOr<std::string> Models::Get(std::string_view id) const {
  if (id != model_->name) return UnknownModelError(id, model_->name);
  return ModelJson(model_->name, model_->created);
}

}  // namespace shoal
