#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/jinja/ast.h"
#include "model/jinja/token.h"

namespace shoal::jinja {

// A cursor over tokens, and the numbering of names, shared by the parsers.
class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& Peek(size_t ahead = 0) const {
    return tokens_[std::min(next_ + ahead, tokens_.size() - 1)];
  }
  const Token& Next() {
    const Token& token = Peek();
    if (next_ + 1 < tokens_.size()) ++next_;
    return token;
  }
  int line() const { return Peek().line; }

  bool At(TokenKind kind) const { return Peek().kind == kind; }
  bool AtOperator(std::string_view text) const {
    return At(TokenKind::kOperator) && Peek().text == text;
  }
  bool AtName(std::string_view text) const { return At(TokenKind::kName) && Peek().text == text; }
  bool SkipOperator(std::string_view text) { return AtOperator(text) && (Next(), true); }
  bool SkipName(std::string_view text) { return AtName(text) && (Next(), true); }

  absl::Status ExpectOperator(const char* text) {
    if (SkipOperator(text)) return absl::OkStatus();
    return Error(absl::StrCat("expected '", text, "'", Found()));
  }
  absl::Status Expect(TokenKind kind, const char* what) {
    if (!At(kind)) return Error(absl::StrCat("expected ", what, Found()));
    Next();
    return absl::OkStatus();
  }

  absl::Status Error(const std::string& reason) const {
    return absl::InvalidArgumentError(absl::StrCat("line ", line(), ": ", reason));
  }
  absl::Status Unknown(const std::string& what) const {
    return absl::UnimplementedError(absl::StrCat("line ", line(), ": ", what, " is not known"));
  }

  // The number of a name.
  int Intern(const std::string& name) {
    for (size_t i = 0; i < symbols.size(); ++i) {
      if (symbols[i] == name) return static_cast<int>(i);
    }
    symbols.push_back(name);
    return static_cast<int>(symbols.size()) - 1;
  }

  std::vector<std::string> symbols;
  bool in_macro = false;
  int nesting = 0;  // Levels of the parsers that are at work.

 private:
  std::string Found() const {
    if (At(TokenKind::kEnd)) return ", found the end of the template";
    return Peek().text.empty() ? ", found the end of the tag"
                               : absl::StrCat(", found '", Peek().text.substr(0, 64), "'");
  }

  std::vector<Token> tokens_;
  size_t next_ = 0;
};

// The expression at the cursor, up to where it ends. With `allow_if` false a trailing `if` is left
// alone, as the one of {% for x in y if z %}. With `allow_tuple`, `a, b` is a tuple.
struct ExpressionOptions {
  bool allow_if = true;
  bool allow_tuple = false;
};
absl::StatusOr<ExprPtr> ParseExpression(TokenStream& in, ExpressionOptions options = {});
// `name(args) | name ...` at the cursor, applied to `input`, which may be null (see ast.h).
absl::StatusOr<ExprPtr> ParseFilters(TokenStream& in, ExprPtr input, bool first_without_bar);

}  // namespace shoal::jinja
