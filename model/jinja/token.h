#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace shoal::jinja {

enum class TokenKind {
  kData,        // Text outside of tags.
  kPrintBegin,  // {{
  kPrintEnd,    // }}
  kBlockBegin,  // {%
  kBlockEnd,    // %}
  kName,
  kString,   // Escapes resolved.
  kInteger,  // Digits only.
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  int line = 1;
};

// Cuts a template into tokens: line ends normalised, white space control done, comments gone, raw
// blocks turned into data. InvalidArgument, with the line, for what is not a template. The last
// token is kEnd.
absl::StatusOr<std::vector<Token>> Tokenize(std::string_view source);

}  // namespace shoal::jinja
