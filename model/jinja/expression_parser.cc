#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/status_macros.h"
#include "model/jinja/budget.h"
#include "model/jinja/builtins.h"
#include "model/jinja/token_stream.h"

namespace shoal::jinja {
namespace {

// Counts levels of recursion while it lives.
class Nesting {
 public:
  explicit Nesting(TokenStream& in) : in_(in) { ++in_.nesting; }
  ~Nesting() { --in_.nesting; }

 private:
  TokenStream& in_;
};

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& in) : in_(in) {}

  absl::StatusOr<ExprPtr> Choice() {
    const Nesting nesting(in_);
    if (in_.nesting > kMaxNesting) return TooDeep();
    SHOAL_ASSIGN_OR_RETURN(ExprPtr value, Or());
    while (in_.AtName("if")) {
      ExprPtr choice = Make(ExprKind::kChoice);
      in_.Next();
      SHOAL_ASSIGN_OR_RETURN(ExprPtr condition, Or());
      ExprPtr otherwise;
      if (in_.SkipName("else")) {
        SHOAL_ASSIGN_OR_RETURN(otherwise, Choice());
      }
      choice->args.push_back(std::move(value));
      choice->args.push_back(std::move(condition));
      choice->args.push_back(std::move(otherwise));
      SHOAL_ASSIGN_OR_RETURN(value, Finish(std::move(choice)));
    }
    return value;
  }

  absl::StatusOr<ExprPtr> Or() { return Logic(ExprKind::kOr, "or", &ExpressionParser::And); }

  // Items up to a closing bracket or the end; one without a comma is itself, not a tuple.
  absl::StatusOr<ExprPtr> TupleOrOne(bool with_if) {
    ExprPtr tuple = Make(ExprKind::kTuple);
    bool comma = false;
    while (!AtTupleEnd()) {
      SHOAL_ASSIGN_OR_RETURN(ExprPtr item, with_if ? Choice() : Or());
      tuple->args.push_back(std::move(item));
      if (!in_.SkipOperator(",")) break;
      comma = true;
    }
    if (!comma && tuple->args.size() == 1) return std::move(tuple->args[0]);
    if (tuple->args.empty()) return in_.Error("expected an expression");
    return Finish(std::move(tuple));
  }

  absl::StatusOr<ExprPtr> Filters(ExprPtr value, bool bare) {
    while (bare || in_.SkipOperator("|")) {
      bare = false;
      SHOAL_ASSIGN_OR_RETURN(value, Filter(std::move(value)));
    }
    return value;
  }

 private:
  using Rule = absl::StatusOr<ExprPtr> (ExpressionParser::*)();

  absl::Status TooDeep() const {
    return in_.Error(absl::StrCat("nested deeper than ", kMaxNesting));
  }

  ExprPtr Make(ExprKind kind) const {
    auto expr = std::make_unique<Expr>();
    expr->kind = kind;
    expr->line = in_.line();
    return expr;
  }

  // Sets the depth of a node whose children are in place. Chains such as a + b + ... nest without
  // recursion in the parser, so this is what bounds the recursion over the tree.
  absl::StatusOr<ExprPtr> Finish(ExprPtr expr) const {
    for (const ExprPtr& arg : expr->args) {
      if (arg != nullptr) expr->depth = std::max(expr->depth, arg->depth + 1);
    }
    for (const auto& [name, arg] : expr->named) expr->depth = std::max(expr->depth, arg->depth + 1);
    if (expr->depth > kMaxNesting) return TooDeep();
    return expr;
  }

  absl::StatusOr<ExprPtr> Unary(ExprKind kind, ExprPtr operand) const {
    ExprPtr expr = Make(kind);
    expr->args.push_back(std::move(operand));
    return Finish(std::move(expr));
  }

  bool AtTupleEnd() const {
    return in_.At(TokenKind::kBlockEnd) || in_.At(TokenKind::kPrintEnd) ||
           in_.At(TokenKind::kEnd) || in_.AtOperator(")");
  }

  absl::StatusOr<ExprPtr> Logic(ExprKind kind, const char* word, Rule operand) {
    SHOAL_ASSIGN_OR_RETURN(ExprPtr left, (this->*operand)());
    while (in_.AtName(word)) {
      ExprPtr both = Make(kind);
      in_.Next();
      SHOAL_ASSIGN_OR_RETURN(ExprPtr right, (this->*operand)());
      both->args.push_back(std::move(left));
      both->args.push_back(std::move(right));
      SHOAL_ASSIGN_OR_RETURN(left, Finish(std::move(both)));
    }
    return left;
  }

  absl::StatusOr<ExprPtr> And() { return Logic(ExprKind::kAnd, "and", &ExpressionParser::Not); }

  absl::StatusOr<ExprPtr> Not() {
    if (!in_.SkipName("not")) return Compare();
    const Nesting nesting(in_);
    if (in_.nesting > kMaxNesting) return TooDeep();
    SHOAL_ASSIGN_OR_RETURN(ExprPtr operand, Not());
    return Unary(ExprKind::kNot, std::move(operand));
  }

  // The comparison at the cursor, consumed, or empty.
  std::string TakeComparison() {
    for (const char* op : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (in_.SkipOperator(op)) return op;
    }
    if (in_.SkipName("in")) return "in";
    if (in_.AtName("not") && in_.Peek(1).kind == TokenKind::kName && in_.Peek(1).text == "in") {
      in_.Next();
      in_.Next();
      return "not in";
    }
    return "";
  }

  absl::StatusOr<ExprPtr> Compare() {
    SHOAL_ASSIGN_OR_RETURN(ExprPtr first, Sum());
    ExprPtr compare = Make(ExprKind::kCompare);
    compare->args.push_back(std::move(first));
    for (std::string op = TakeComparison(); !op.empty(); op = TakeComparison()) {
      SHOAL_ASSIGN_OR_RETURN(ExprPtr operand, Sum());
      compare->operators.push_back(std::move(op));
      compare->args.push_back(std::move(operand));
    }
    if (compare->operators.empty()) return std::move(compare->args[0]);
    return Finish(std::move(compare));
  }

  absl::StatusOr<ExprPtr> Binary(std::vector<const char*> operators, Rule operand) {
    SHOAL_ASSIGN_OR_RETURN(ExprPtr left, (this->*operand)());
    for (;;) {
      const auto found = std::find_if(operators.begin(), operators.end(),
                                      [this](const char* op) { return in_.AtOperator(op); });
      if (found == operators.end()) return left;
      ExprPtr both = Make(ExprKind::kBinary);
      both->name = *found;
      in_.Next();
      SHOAL_ASSIGN_OR_RETURN(ExprPtr right, (this->*operand)());
      both->args.push_back(std::move(left));
      both->args.push_back(std::move(right));
      SHOAL_ASSIGN_OR_RETURN(left, Finish(std::move(both)));
    }
  }

  absl::StatusOr<ExprPtr> Sum() { return Binary({"+", "-"}, &ExpressionParser::Concat); }

  absl::StatusOr<ExprPtr> Concat() {
    SHOAL_ASSIGN_OR_RETURN(ExprPtr first, Product());
    if (!in_.AtOperator("~")) return first;
    ExprPtr concat = Make(ExprKind::kConcat);
    concat->args.push_back(std::move(first));
    while (in_.SkipOperator("~")) {
      SHOAL_ASSIGN_OR_RETURN(ExprPtr next, Product());
      concat->args.push_back(std::move(next));
    }
    return Finish(std::move(concat));
  }

  absl::StatusOr<ExprPtr> Product() {
    return Binary({"*", "/", "//", "%"}, &ExpressionParser::Power);
  }
  absl::StatusOr<ExprPtr> Power() { return Binary({"**"}, &ExpressionParser::FilteredOperand); }
  absl::StatusOr<ExprPtr> FilteredOperand() { return Operand(true); }

  absl::StatusOr<ExprPtr> Operand(bool with_filters) {
    ExprPtr value;
    if (in_.AtOperator("-") || in_.AtOperator("+")) {
      const Nesting nesting(in_);
      if (in_.nesting > kMaxNesting) return TooDeep();
      const ExprKind kind = in_.Next().text == "-" ? ExprKind::kNegate : ExprKind::kPlus;
      SHOAL_ASSIGN_OR_RETURN(ExprPtr operand, Operand(false));
      SHOAL_ASSIGN_OR_RETURN(value, Unary(kind, std::move(operand)));
    } else {
      SHOAL_ASSIGN_OR_RETURN(value, Primary());
    }
    SHOAL_ASSIGN_OR_RETURN(value, Postfix(std::move(value)));
    if (!with_filters) return value;
    for (;;) {
      if (in_.AtOperator("|")) {
        SHOAL_ASSIGN_OR_RETURN(value, Filters(std::move(value), false));
      } else if (in_.SkipName("is")) {
        SHOAL_ASSIGN_OR_RETURN(value, Test(std::move(value)));
      } else if (in_.AtOperator("(")) {
        SHOAL_ASSIGN_OR_RETURN(value, Call(std::move(value)));
      } else {
        return value;
      }
    }
  }

  absl::StatusOr<ExprPtr> Constant(Value value) {
    ExprPtr expr = Make(ExprKind::kConstant);
    expr->constant = std::move(value);
    return expr;
  }

  absl::StatusOr<ExprPtr> Primary() {
    if (in_.At(TokenKind::kName)) return Name();
    if (in_.At(TokenKind::kString)) {
      std::string text;
      while (in_.At(TokenKind::kString)) text += in_.Next().text;
      return Constant(Value::String(std::move(text)));
    }
    if (in_.At(TokenKind::kInteger)) {
      const std::string& digits = in_.Peek().text;
      int64_t value = 0;
      const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value);
      if (read.ec != std::errc()) return in_.Error("an integer does not fit 64 bits");
      in_.Next();
      return Constant(Value::Int(value));
    }
    if (in_.At(TokenKind::kFloat)) {
      return Constant(Value::Float(std::strtod(in_.Next().text.c_str(), nullptr)));
    }
    if (in_.SkipOperator("(")) return Parenthesis();
    if (in_.SkipOperator("[")) return List();
    if (in_.SkipOperator("{")) return DictDisplay();
    return in_.Expect(TokenKind::kName, "an expression");
  }

  absl::StatusOr<ExprPtr> Name() {
    const std::string name = in_.Peek().text;
    ExprPtr expr = Make(ExprKind::kName);
    in_.Next();
    if (name == "true" || name == "True") return Constant(Value::Bool(true));
    if (name == "false" || name == "False") return Constant(Value::Bool(false));
    if (name == "none" || name == "None") return Constant(Value::None());
    if (in_.in_macro && (name == "varargs" || name == "kwargs" || name == "caller")) {
      return in_.Unknown(absl::StrCat("`", name, "` in a macro"));
    }
    expr->symbol = in_.Intern(name);
    expr->name = name;
    return expr;
  }

  absl::StatusOr<ExprPtr> Parenthesis() {
    if (in_.SkipOperator(")")) return Make(ExprKind::kTuple);
    SHOAL_ASSIGN_OR_RETURN(ExprPtr value, TupleOrOne(/*with_if=*/true));
    SHOAL_RETURN_IF_ERROR(in_.ExpectOperator(")"));
    return value;
  }

  absl::StatusOr<ExprPtr> List() {
    ExprPtr list = Make(ExprKind::kList);
    while (!in_.SkipOperator("]")) {
      if (!list->args.empty()) {
        SHOAL_RETURN_IF_ERROR(in_.ExpectOperator(","));
        if (in_.SkipOperator("]")) break;
      }
      SHOAL_ASSIGN_OR_RETURN(ExprPtr item, Choice());
      list->args.push_back(std::move(item));
    }
    return Finish(std::move(list));
  }

  absl::StatusOr<ExprPtr> DictDisplay() {
    ExprPtr dict = Make(ExprKind::kDict);
    while (!in_.SkipOperator("}")) {
      if (!dict->args.empty()) {
        SHOAL_RETURN_IF_ERROR(in_.ExpectOperator(","));
        if (in_.SkipOperator("}")) break;
      }
      SHOAL_ASSIGN_OR_RETURN(ExprPtr key, Choice());
      SHOAL_RETURN_IF_ERROR(in_.ExpectOperator(":"));
      SHOAL_ASSIGN_OR_RETURN(ExprPtr value, Choice());
      dict->args.push_back(std::move(key));
      dict->args.push_back(std::move(value));
    }
    return Finish(std::move(dict));
  }

  absl::StatusOr<ExprPtr> Postfix(ExprPtr value) {
    for (;;) {
      if (in_.AtOperator(".")) {
        SHOAL_ASSIGN_OR_RETURN(value, Attribute(std::move(value)));
      } else if (in_.AtOperator("[")) {
        SHOAL_ASSIGN_OR_RETURN(value, Subscript(std::move(value)));
      } else if (in_.AtOperator("(")) {
        SHOAL_ASSIGN_OR_RETURN(value, Call(std::move(value)));
      } else {
        return value;
      }
    }
  }

  absl::StatusOr<ExprPtr> Attribute(ExprPtr object) {
    in_.Next();
    ExprPtr expr = Make(in_.At(TokenKind::kInteger) ? ExprKind::kIndex : ExprKind::kAttribute);
    expr->args.push_back(std::move(object));
    if (in_.At(TokenKind::kInteger)) {
      SHOAL_ASSIGN_OR_RETURN(ExprPtr index, Primary());
      expr->args.push_back(std::move(index));
    } else {
      expr->name = in_.Peek().text;
      SHOAL_RETURN_IF_ERROR(in_.Expect(TokenKind::kName, "a name after '.'"));
    }
    return Finish(std::move(expr));
  }

  absl::StatusOr<ExprPtr> Subscript(ExprPtr object) {
    ExprPtr expr = Make(ExprKind::kIndex);
    in_.Next();
    ExprPtr parts[3];
    int n_parts = 0;
    for (;; ++n_parts) {
      if (n_parts == 3) return in_.Error("a slice has three parts at most");
      if (!in_.AtOperator(":") && !in_.AtOperator("]")) {
        SHOAL_ASSIGN_OR_RETURN(parts[n_parts], Choice());
      }
      if (in_.AtOperator(",")) return in_.Unknown("a subscript of several parts");
      if (!in_.SkipOperator(":")) break;
    }
    SHOAL_RETURN_IF_ERROR(in_.ExpectOperator("]"));
    if (n_parts == 0 && parts[0] == nullptr) return in_.Error("a subscript is empty");
    if (n_parts > 0) expr->kind = ExprKind::kSlice;
    expr->args.push_back(std::move(object));
    for (int i = 0; i < (n_parts > 0 ? 3 : 1); ++i) expr->args.push_back(std::move(parts[i]));
    return Finish(std::move(expr));
  }

  // Appends what stands between the parentheses at the cursor.
  absl::Status CallArguments(Expr* call) {
    in_.Next();
    bool first = true;
    while (!in_.SkipOperator(")")) {
      if (!first) {
        SHOAL_RETURN_IF_ERROR(in_.ExpectOperator(","));
        if (in_.SkipOperator(")")) break;
      }
      first = false;
      if (in_.AtOperator("*") || in_.AtOperator("**")) return in_.Unknown("unpacking in a call");
      const Token& next = in_.Peek(1);
      if (in_.At(TokenKind::kName) && next.kind == TokenKind::kOperator && next.text == "=") {
        std::string name = in_.Next().text;
        in_.Next();
        SHOAL_ASSIGN_OR_RETURN(ExprPtr value, Choice());
        call->named.emplace_back(std::move(name), std::move(value));
        continue;
      }
      if (!call->named.empty()) return in_.Error("an argument by position after one by name");
      SHOAL_ASSIGN_OR_RETURN(ExprPtr value, Choice());
      call->args.push_back(std::move(value));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<ExprPtr> Call(ExprPtr callee) {
    ExprPtr call = Make(ExprKind::kCall);
    call->args.push_back(std::move(callee));
    SHOAL_RETURN_IF_ERROR(CallArguments(call.get()));
    return Finish(std::move(call));
  }

  absl::StatusOr<ExprPtr> Filter(ExprPtr input) {
    ExprPtr filter = Make(ExprKind::kFilter);
    filter->name = in_.Peek().text;
    filter->builtin = FindFilter(filter->name);
    if (filter->builtin == nullptr && in_.At(TokenKind::kName)) {
      return in_.Unknown(absl::StrCat("the filter `", filter->name, "`"));
    }
    SHOAL_RETURN_IF_ERROR(in_.Expect(TokenKind::kName, "a filter's name"));
    filter->args.push_back(std::move(input));
    if (in_.AtOperator("(")) SHOAL_RETURN_IF_ERROR(CallArguments(filter.get()));
    return Finish(std::move(filter));
  }

  // Whether the token begins the one argument a test takes without parentheses.
  bool AtBareArgument() const {
    if (in_.At(TokenKind::kString) || in_.At(TokenKind::kInteger) || in_.At(TokenKind::kFloat)) {
      return true;
    }
    if (in_.AtOperator("[") || in_.AtOperator("{")) return true;
    if (!in_.At(TokenKind::kName)) return false;
    for (const char* word : {"else", "or", "and", "if", "is", "in", "not"}) {
      if (in_.AtName(word)) return false;
    }
    return true;
  }

  absl::StatusOr<ExprPtr> Test(ExprPtr input) {
    ExprPtr test = Make(ExprKind::kTest);
    const bool negated = in_.SkipName("not");
    test->name = in_.Peek().text;
    test->builtin = FindTest(test->name);
    if (test->builtin == nullptr && in_.At(TokenKind::kName)) {
      return in_.Unknown(absl::StrCat("the test `", test->name, "`"));
    }
    SHOAL_RETURN_IF_ERROR(in_.Expect(TokenKind::kName, "a test's name"));
    test->args.push_back(std::move(input));
    if (in_.AtOperator("(")) {
      SHOAL_RETURN_IF_ERROR(CallArguments(test.get()));
    } else if (AtBareArgument()) {
      SHOAL_ASSIGN_OR_RETURN(ExprPtr argument, Primary());
      SHOAL_ASSIGN_OR_RETURN(argument, Postfix(std::move(argument)));
      test->args.push_back(std::move(argument));
    }
    SHOAL_ASSIGN_OR_RETURN(test, Finish(std::move(test)));
    if (!negated) return test;
    return Unary(ExprKind::kNot, std::move(test));
  }

  TokenStream& in_;
};

}  // namespace

absl::StatusOr<ExprPtr> ParseExpression(TokenStream& in, ExpressionOptions options) {
  ExpressionParser parser(in);
  if (options.allow_tuple) return parser.TupleOrOne(options.allow_if);
  return options.allow_if ? parser.Choice() : parser.Or();
}

absl::StatusOr<ExprPtr> ParseFilters(TokenStream& in, ExprPtr input, bool first_without_bar) {
  return ExpressionParser(in).Filters(std::move(input), first_without_bar);
}

}  // namespace shoal::jinja
