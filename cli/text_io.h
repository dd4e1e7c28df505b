#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace shoal {

// Standard input to its end. ResourceExhausted beyond `max_bytes`.
absl::StatusOr<std::string> ReadStandardInput(size_t max_bytes);
// Writes all of `text` to standard output.
absl::Status WriteStandardOutput(const std::string& text);
// Prints a failed status to standard error as that of `command`; the exit code it stands for.
int ReportStatus(const char* command, const absl::Status& status);

}  // namespace shoal
