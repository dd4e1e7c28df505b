#include "cli/text_io.h"

#include <cstdio>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

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

absl::StatusOr<std::string> ConvertLines(
    size_t max_bytes,
    absl::FunctionRef<absl::StatusOr<std::string>(const std::string& line)> convert) {
  SHOAL_ASSIGN_OR_RETURN(std::string input, ReadStandardInput(max_bytes));
  std::istringstream lines(std::move(input));
  std::string output;
  int number = 1;
  for (std::string line; std::getline(lines, line); ++number) {
    const absl::StatusOr<std::string> converted = convert(line);
    if (!converted.ok()) {
      return absl::Status(
          converted.status().code(),
          absl::StrCat("line ", number, ": ", std::string(converted.status().message())));
    }
    output += *converted + "\n";
  }
  return output;
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
