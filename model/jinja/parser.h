#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "model/jinja/ast.h"

namespace shoal::jinja {

// Parses a template. InvalidArgument with the line and the reason for what is not one;
// Unimplemented, likewise, for a construct, filter or test that is not known.
absl::StatusOr<Program> Parse(std::string_view source);

}  // namespace shoal::jinja
