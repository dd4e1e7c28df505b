#include "cli/text_io.h"

#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/import/gguf_model.h"

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

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& model_path) {
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<GgufReader> file, GgufReader::Open(model_path));
  SHOAL_ASSIGN_OR_RETURN(Vocabulary vocabulary, ReadVocabulary(*file));
  auto tokenizer = Tokenizer::Create(std::move(vocabulary));
  if (tokenizer.ok()) return tokenizer;
  return absl::Status(tokenizer.status().code(),
                      absl::StrCat(model_path, ": ", std::string(tokenizer.status().message())));
}

int ReportStatus(const char* command, const absl::Status& status) {
  if (status.ok()) return 0;
  std::fprintf(stderr, "shoal %s: %s\n", command, std::string(status.message()).c_str());
  return 1;
}

}  // namespace shoal
