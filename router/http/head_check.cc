#include "router/http/head_check.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/status_macros.h"

namespace shoal {
namespace {

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("malformed request head: ", std::string(what)));
}

absl::Status TooLarge(std::string_view what, size_t bound) {
  return absl::OutOfRangeError(
      absl::StrCat("request head too large: ", std::string(what), " exceeds ", bound));
}

// CR and LF stand only together, and there is no NUL.
absl::Status CheckBytes(std::string_view head) {
  for (size_t i = 0; i < head.size(); ++i) {
    const char next = i + 1 < head.size() ? head[i + 1] : '\0';
    if (head[i] == '\0') return Malformed("it holds a NUL");
    if (head[i] == '\r' && next != '\n') return Malformed("a CR stands alone");
    if (head[i] == '\n' && (i == 0 || head[i - 1] != '\r')) {
      return Malformed("a line ends without CR");
    }
  }
  return absl::OkStatus();
}

// Counts of the fields that say how long the body is.
struct BodyFields {
  int n_content_length = 0;
  int n_transfer_encoding = 0;
};

absl::Status CheckField(std::string_view line, BodyFields* body) {
  if (line.front() == ' ' || line.front() == '\t') return Malformed("a field is folded");
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return Malformed("a field has no name");
  const std::string name = absl::AsciiStrToLower(std::string(line.substr(0, colon)));
  if (name.find_first_of(" \t") != std::string::npos) return Malformed("a name holds a space");
  body->n_content_length += name == "content-length";
  body->n_transfer_encoding += name == "transfer-encoding";
  return absl::OkStatus();
}

}  // namespace

size_t HeadLength(std::string_view bytes) {
  const size_t empty_line = bytes.find("\r\n\r\n");
  size_t line_end = bytes.find('\n');
  while (line_end < empty_line && line_end > 0 && bytes[line_end - 1] == '\r') {
    line_end = bytes.find('\n', line_end + 1);
  }
  if (line_end < empty_line) return line_end + 1;
  return empty_line == std::string_view::npos ? empty_line : empty_line + 4;
}

absl::Status CheckHead(std::string_view head) {
  size_t begin = 0;
  int n_fields = -1;  // The request line is none.
  BodyFields body;
  const size_t first_end = std::min(head.find("\r\n"), head.size());
  if (first_end > kMaxRequestLineBytes) return TooLarge("the request line", kMaxRequestLineBytes);
  if (head.size() - first_end > kMaxHeaderBytes) return TooLarge("its fields", kMaxHeaderBytes);
  SHOAL_RETURN_IF_ERROR(CheckBytes(head));
  while (true) {
    const size_t end = head.find("\r\n", begin);
    if (end == std::string_view::npos) return Malformed("it ends inside a line");
    const std::string_view line = head.substr(begin, end - begin);
    begin = end + 2;
    if (line.empty()) break;
    if (++n_fields > 0) SHOAL_RETURN_IF_ERROR(CheckField(line, &body));
    if (n_fields > kMaxHeaderFields) return TooLarge("the number of fields", kMaxHeaderFields);
  }
  if (n_fields < 0) return Malformed("it has no request line");
  if (begin != head.size()) return Malformed("it goes on after its empty line");
  if (body.n_content_length + body.n_transfer_encoding > 1) {
    return Malformed("it says more than once how long the body is");
  }
  return absl::OkStatus();
}

}  // namespace shoal
