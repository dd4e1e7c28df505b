#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "model/tokenizer.h"

namespace shoal {

// Standard input to its end. ResourceExhausted beyond `max_bytes`.
absl::StatusOr<std::string> ReadStandardInput(size_t max_bytes);
// Writes all of `text` to standard output.
absl::Status WriteStandardOutput(const std::string& text);
// The tokenizer of a GGUF file, which needs no tensors for this.
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& model_path);
// Prints a failed status to standard error as that of `command`; the exit code it stands for.
int ReportStatus(const char* command, const absl::Status& status);

}  // namespace shoal
