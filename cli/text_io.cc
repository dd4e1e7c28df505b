#include "cli/text_io.h"

#include <cstdio>

#include "absl/strings/str_cat.h"

namespace shoal {

absl::StatusOr<std::string> ReadStandardInput(size_t max_bytes) {
  std::string text;
  char buffer[1 << 16];
  while (const size_t n = std::fread(buffer, 1, sizeof buffer, stdin)) {
    text.append(buffer, n);
    if (text.size() > max_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("standard input is longer than ", max_bytes, " bytes"));
    }
  }
  if (std::ferror(stdin)) return absl::UnavailableError("standard input cannot be read");
  return text;
}

absl::Status WriteStandardOutput(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) {
    return absl::OkStatus();
  }
  return absl::UnavailableError("standard output cannot be written");
}

int ReportStatus(const char* command, const absl::Status& status) {
  if (status.ok()) return 0;
  std::fprintf(stderr, "shoal %s: %s\n", command, std::string(status.message()).c_str());
  return 1;
}

}  // namespace shoal
