#include "model/jinja/parser.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/jinja/budget.h"
#include "model/jinja/token_stream.h"

namespace shoal::jinja {
namespace {

class StatementParser {
 public:
  explicit StatementParser(TokenStream& in) : in_(in) {}

  absl::StatusOr<Block> Template() {
    Block block;
    SHOAL_RETURN_IF_ERROR(Statements(&block, {}));
    return block;
  }

 private:
  using StmtPtr = std::unique_ptr<Stmt>;

  StmtPtr Make(StmtKind kind) const {
    auto stmt = std::make_unique<Stmt>();
    stmt->kind = kind;
    stmt->line = in_.line();
    return stmt;
  }

  // Statements up to a tag named one of `ends`, whose name the cursor is left at; without `ends`,
  // up to the end of the template.
  absl::Status Statements(Block* block, const std::vector<const char*>& ends) {
    if (++in_.nesting > kMaxNesting) {
      return in_.Error(absl::StrCat("nested deeper than ", kMaxNesting));
    }
    while (!in_.At(TokenKind::kEnd)) {
      if (in_.At(TokenKind::kData)) {
        StmtPtr text = Make(StmtKind::kText);
        text->text = in_.Next().text;
        block->push_back(std::move(text));
      } else if (in_.At(TokenKind::kPrintBegin)) {
        SHOAL_RETURN_IF_ERROR(Print(block));
      } else {
        in_.Next();
        for (const char* end : ends) {
          if (!in_.AtName(end)) continue;
          --in_.nesting;
          return absl::OkStatus();
        }
        SHOAL_RETURN_IF_ERROR(Tag(block));
      }
    }
    --in_.nesting;
    if (ends.empty()) return absl::OkStatus();
    return in_.Error(absl::StrCat("the template ends without {% ", ends.back(), " %}"));
  }

  absl::Status Print(Block* block) {
    StmtPtr print = Make(StmtKind::kPrint);
    in_.Next();
    SHOAL_ASSIGN_OR_RETURN(ExprPtr value, ParseExpression(in_, {.allow_tuple = true}));
    print->exprs.push_back(std::move(value));
    SHOAL_RETURN_IF_ERROR(in_.Expect(TokenKind::kPrintEnd, "}}"));
    block->push_back(std::move(print));
    return absl::OkStatus();
  }

  absl::Status EndTag() { return in_.Expect(TokenKind::kBlockEnd, "%}"); }

  // The body of a tag up to {% end %}, consumed. Loops outside cannot be left from inside it.
  absl::Status Body(Stmt* stmt, const char* end) {
    SHOAL_RETURN_IF_ERROR(EndTag());
    stmt->blocks.emplace_back();
    SHOAL_RETURN_IF_ERROR(Statements(&stmt->blocks.back(), {end}));
    in_.Next();
    return EndTag();
  }

  absl::Status ClosedBody(Stmt* stmt, const char* end) {
    const bool in_loop = std::exchange(in_loop_, false);
    const bool top_level = std::exchange(top_level_, false);
    const absl::Status status = Body(stmt, end);
    in_loop_ = in_loop;
    top_level_ = top_level;
    return status;
  }

  absl::Status Tag(Block* block) {
    struct Rule {
      const char* name;
      absl::StatusOr<StmtPtr> (StatementParser::*parse)();
    };
    static constexpr Rule kRules[] = {
        {"if", &StatementParser::If},          {"for", &StatementParser::For},
        {"set", &StatementParser::Set},        {"macro", &StatementParser::Macro},
        {"filter", &StatementParser::Filter},  {"generation", &StatementParser::Generation},
        {"with", &StatementParser::With},      {"break", &StatementParser::Leave},
        {"continue", &StatementParser::Leave},
    };
    for (const Rule& rule : kRules) {
      if (!in_.AtName(rule.name)) continue;
      SHOAL_ASSIGN_OR_RETURN(StmtPtr stmt, (this->*rule.parse)());
      block->push_back(std::move(stmt));
      return absl::OkStatus();
    }
    if (!in_.At(TokenKind::kName)) return in_.Error("a tag without a name");
    return in_.Unknown(absl::StrCat("the tag `", in_.Peek().text.substr(0, 64), "`"));
  }

  absl::StatusOr<StmtPtr> If() {
    StmtPtr stmt = Make(StmtKind::kIf);
    while (!in_.AtName("endif")) {
      if (in_.SkipName("else")) {
        SHOAL_RETURN_IF_ERROR(EndTag());
        stmt->blocks.emplace_back();
        SHOAL_RETURN_IF_ERROR(Statements(&stmt->blocks.back(), {"endif"}));
        break;
      }
      in_.Next();  // if or elif
      SHOAL_ASSIGN_OR_RETURN(ExprPtr condition,
                             ParseExpression(in_, {.allow_if = false, .allow_tuple = true}));
      stmt->exprs.push_back(std::move(condition));
      SHOAL_RETURN_IF_ERROR(EndTag());
      stmt->blocks.emplace_back();
      SHOAL_RETURN_IF_ERROR(Statements(&stmt->blocks.back(), {"elif", "else", "endif"}));
    }
    in_.Next();
    SHOAL_RETURN_IF_ERROR(EndTag());
    return stmt;
  }

  absl::Status ParseTarget(Stmt* stmt, bool allow_attribute) {
    if (in_.AtName("loop") || in_.AtName("true") || in_.AtName("false") || in_.AtName("none")) {
      return in_.Error(absl::StrCat("'", in_.Peek().text, "' cannot be assigned to"));
    }
    Target target;
    const std::string name = in_.Peek().text;
    SHOAL_RETURN_IF_ERROR(in_.Expect(TokenKind::kName, "a name to assign to"));
    target.symbol = in_.Intern(name);
    if (allow_attribute && in_.SkipOperator(".")) {
      target.attribute = in_.Peek().text;
      SHOAL_RETURN_IF_ERROR(in_.Expect(TokenKind::kName, "an attribute's name"));
    }
    stmt->targets.push_back(std::move(target));
    return absl::OkStatus();
  }

  absl::Status ParseTargets(Stmt* stmt, bool allow_attribute) {
    const bool parenthesis = in_.SkipOperator("(");
    SHOAL_RETURN_IF_ERROR(ParseTarget(stmt, allow_attribute));
    while (in_.SkipOperator(",")) {
      stmt->unpack = true;
      SHOAL_RETURN_IF_ERROR(ParseTarget(stmt, allow_attribute));
    }
    return parenthesis ? in_.ExpectOperator(")") : absl::OkStatus();
  }

  absl::StatusOr<StmtPtr> For() {
    StmtPtr stmt = Make(StmtKind::kFor);
    in_.Next();
    SHOAL_RETURN_IF_ERROR(ParseTargets(stmt.get(), false));
    if (!in_.SkipName("in")) return in_.Error("expected 'in'");
    SHOAL_ASSIGN_OR_RETURN(ExprPtr items,
                           ParseExpression(in_, {.allow_if = false, .allow_tuple = true}));
    ExprPtr filter;
    if (in_.SkipName("if")) {
      SHOAL_ASSIGN_OR_RETURN(filter, ParseExpression(in_));
    }
    if (in_.AtName("recursive")) return in_.Unknown("a recursive loop");
    stmt->exprs.push_back(std::move(items));
    stmt->exprs.push_back(std::move(filter));
    SHOAL_RETURN_IF_ERROR(EndTag());
    const bool in_loop = std::exchange(in_loop_, true);
    const bool top_level = std::exchange(top_level_, false);
    stmt->blocks.resize(2);
    SHOAL_RETURN_IF_ERROR(Statements(&stmt->blocks[0], {"else", "endfor"}));
    in_loop_ = in_loop;
    if (in_.SkipName("else")) {
      SHOAL_RETURN_IF_ERROR(EndTag());
      SHOAL_RETURN_IF_ERROR(Statements(&stmt->blocks[1], {"endfor"}));
    }
    top_level_ = top_level;
    in_.Next();
    SHOAL_RETURN_IF_ERROR(EndTag());
    return stmt;
  }

  absl::StatusOr<StmtPtr> Set() {
    StmtPtr stmt = Make(StmtKind::kSet);
    in_.Next();
    SHOAL_RETURN_IF_ERROR(ParseTargets(stmt.get(), true));
    if (in_.SkipOperator("=")) {
      SHOAL_ASSIGN_OR_RETURN(ExprPtr value, ParseExpression(in_, {.allow_tuple = true}));
      stmt->exprs.push_back(std::move(value));
      SHOAL_RETURN_IF_ERROR(EndTag());
      return stmt;
    }
    if (stmt->unpack) return in_.Error("expected '='");
    stmt->kind = StmtKind::kSetBlock;
    SHOAL_ASSIGN_OR_RETURN(ExprPtr filters, ParseFilters(in_, nullptr, false));
    stmt->exprs.push_back(std::move(filters));
    SHOAL_RETURN_IF_ERROR(ClosedBody(stmt.get(), "endset"));
    return stmt;
  }

  absl::StatusOr<StmtPtr> Macro() {
    StmtPtr stmt = Make(StmtKind::kMacro);
    in_.Next();
    // A macro sees the top level and its parameters; inside a loop it would see more.
    if (!top_level_) return in_.Unknown("a macro that is not at the top level");
    SHOAL_RETURN_IF_ERROR(ParseTarget(stmt.get(), false));
    SHOAL_RETURN_IF_ERROR(in_.ExpectOperator("("));
    while (!in_.SkipOperator(")")) {
      if (!stmt->parameters.empty()) SHOAL_RETURN_IF_ERROR(in_.ExpectOperator(","));
      Parameter parameter;
      parameter.name = in_.Peek().text;
      SHOAL_RETURN_IF_ERROR(in_.Expect(TokenKind::kName, "a parameter's name"));
      parameter.symbol = in_.Intern(parameter.name);
      if (in_.SkipOperator("=")) {
        SHOAL_ASSIGN_OR_RETURN(parameter.fallback, ParseExpression(in_));
      } else if (!stmt->parameters.empty() && stmt->parameters.back().fallback != nullptr) {
        return in_.Error("a parameter without a default after one with a default");
      }
      stmt->parameters.push_back(std::move(parameter));
    }
    const bool in_macro = std::exchange(in_.in_macro, true);
    SHOAL_RETURN_IF_ERROR(ClosedBody(stmt.get(), "endmacro"));
    in_.in_macro = in_macro;
    return stmt;
  }

  absl::StatusOr<StmtPtr> Filter() {
    StmtPtr stmt = Make(StmtKind::kFilter);
    in_.Next();
    SHOAL_ASSIGN_OR_RETURN(ExprPtr filters, ParseFilters(in_, nullptr, true));
    stmt->exprs.push_back(std::move(filters));
    SHOAL_RETURN_IF_ERROR(ClosedBody(stmt.get(), "endfilter"));
    return stmt;
  }

  absl::StatusOr<StmtPtr> Generation() {
    StmtPtr stmt = Make(StmtKind::kWith);  // A scope of its own, and nothing else.
    in_.Next();
    SHOAL_RETURN_IF_ERROR(ClosedBody(stmt.get(), "endgeneration"));
    return stmt;
  }

  absl::StatusOr<StmtPtr> With() {
    StmtPtr stmt = Make(StmtKind::kWith);
    in_.Next();
    while (!in_.At(TokenKind::kBlockEnd)) {
      if (!stmt->targets.empty()) SHOAL_RETURN_IF_ERROR(in_.ExpectOperator(","));
      SHOAL_RETURN_IF_ERROR(ParseTarget(stmt.get(), false));
      SHOAL_RETURN_IF_ERROR(in_.ExpectOperator("="));
      SHOAL_ASSIGN_OR_RETURN(ExprPtr value, ParseExpression(in_));
      stmt->exprs.push_back(std::move(value));
    }
    const bool top_level = std::exchange(top_level_, false);
    SHOAL_RETURN_IF_ERROR(Body(stmt.get(), "endwith"));
    top_level_ = top_level;
    return stmt;
  }

  absl::StatusOr<StmtPtr> Leave() {
    StmtPtr stmt = Make(in_.AtName("break") ? StmtKind::kBreak : StmtKind::kContinue);
    if (!in_loop_) {
      return in_.Error(absl::StrCat("'", in_.Peek().text, "' outside of the loop it would leave"));
    }
    in_.Next();
    SHOAL_RETURN_IF_ERROR(EndTag());
    return stmt;
  }

  TokenStream& in_;
  bool in_loop_ = false;   // break and continue have a loop to act on.
  bool top_level_ = true;  // Assignments reach the template's own names.
};

}  // namespace

absl::StatusOr<Program> Parse(std::string_view source) {
  if (source.size() > kMaxTemplateBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("template of ", source.size(), " bytes; at most ", kMaxTemplateBytes));
  }
  SHOAL_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  TokenStream in(std::move(tokens));
  SHOAL_ASSIGN_OR_RETURN(Block body, StatementParser(in).Template());
  return Program{std::move(body), std::move(in.symbols)};
}

}  // namespace shoal::jinja
