#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/jinja/ast.h"
#include "model/jinja/text.h"

namespace shoal::jinja {

// Runs a program. globals[i] is the value of symbol i, undefined where the caller gives none; there
// the interpreter's own functions show through. Errors name the line, but for raise_exception's,
// which is its message alone.
absl::StatusOr<Text> Run(const Program& program, std::vector<Value> globals, absl::Time now);

}  // namespace shoal::jinja
