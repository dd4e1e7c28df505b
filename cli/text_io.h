#pragma once

#include <cstddef>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"

namespace shoal {

// Standard input to its end. ResourceExhausted beyond `max_bytes`.
absl::StatusOr<std::string> ReadStandardInput(size_t max_bytes);
// Standard input's lines, each turned into one line of the result, in order. What `convert` refuses
// is told with the line's number. ResourceExhausted beyond `max_bytes`.
absl::StatusOr<std::string> ConvertLines(
    size_t max_bytes,
    absl::FunctionRef<absl::StatusOr<std::string>(const std::string& line)> convert);
// Writes all of `text` to standard output.
absl::Status WriteStandardOutput(const std::string& text);
// Prints a failed status to standard error as that of `command`; the exit code it stands for.
int ReportStatus(const char* command, const absl::Status& status);

}  // namespace shoal
