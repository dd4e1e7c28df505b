#include "model/jinja/interpreter.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/jinja/arithmetic.h"
#include "model/jinja/builtins.h"
#include "model/jinja/printing.h"

namespace shoal::jinja {
namespace {

// Names assigned inside a loop, a macro or `with`. The top level is not one: it is an array.
struct Scope {
  const Scope* parent = nullptr;
  std::vector<std::pair<int, Value>> names;

  void Set(int symbol, Value value) {
    for (auto& [name, old] : names) {
      if (name != symbol) continue;
      old = std::move(value);
      return;
    }
    names.emplace_back(symbol, std::move(value));
  }
};

enum class Flow { kNext, kBreak, kContinue };

// Counts frames while it lives.
class Frame {
 public:
  explicit Frame(int* n_frames) : n_frames_(n_frames) { ++*n_frames_; }
  ~Frame() { --*n_frames_; }
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;

 private:
  int* n_frames_;
};

// Functions for one kind of node are not inlined: their locals then stay out of the frame that
// every node takes, and a level of recursion costs its own kind's stack and no other's.
class Interpreter {
 public:
  Interpreter(const Program& program, std::vector<Value> globals, absl::Time now)
      : program_(program), globals_(std::move(globals)) {
    env_.now = now;
    for (size_t i = 0; i < program_.symbols.size(); ++i) {
      if (!globals_[i].is_undefined()) continue;
      if (const char* function = FindFunction(program_.symbols[i])) {
        globals_[i] = Value::Function(function);
      }
      if (program_.symbols[i] == "loop") loop_symbol_ = static_cast<int>(i);
    }
  }

  absl::StatusOr<Text> Run() {
    const auto flow = Execute(program_.body, nullptr);
    if (flow.ok()) return std::move(out_);
    if (env_.raised) return flow.status();
    return absl::Status(flow.status().code(),
                        absl::StrCat("line ", line_, ": ", std::string(flow.status().message())));
  }

 private:
  absl::Status Enter(int line) {
    line_ = line;
    if (n_frames_ > kMaxFrames) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the template nests deeper than ", kMaxFrames, " steps"));
    }
    return env_.budget.Charge(1);
  }

  // --- Statements. `scope` is null at the top level.

  absl::StatusOr<Flow> Execute(const Block& block, Scope* scope) {
    for (const auto& stmt : block) {
      SHOAL_ASSIGN_OR_RETURN(const Flow flow, Execute(*stmt, scope));
      if (flow != Flow::kNext) return flow;
    }
    return Flow::kNext;
  }

  absl::StatusOr<Flow> Execute(const Stmt& stmt, Scope* scope) {
    const Frame frame(&n_frames_);
    SHOAL_RETURN_IF_ERROR(Enter(stmt.line));
    switch (stmt.kind) {
      case StmtKind::kText:
        out_.Append(stmt.text);
        SHOAL_RETURN_IF_ERROR(CheckOutput());
        return Flow::kNext;
      case StmtKind::kPrint:
        SHOAL_RETURN_IF_ERROR(Print(stmt, scope));
        return Flow::kNext;
      case StmtKind::kIf:
        return If(stmt, scope);
      case StmtKind::kFor:
        return For(stmt, scope);
      case StmtKind::kSet:
        SHOAL_RETURN_IF_ERROR(Set(stmt, scope));
        return Flow::kNext;
      case StmtKind::kSetBlock:
      case StmtKind::kFilter:
        SHOAL_RETURN_IF_ERROR(Captured(stmt, scope));
        return Flow::kNext;
      case StmtKind::kMacro:
        Assign(stmt.targets[0].symbol, Value::Macro(&stmt), scope);
        return Flow::kNext;
      case StmtKind::kWith:
        return With(stmt, scope);
      case StmtKind::kBreak:
        return Flow::kBreak;
      case StmtKind::kContinue:
        return Flow::kContinue;
    }
    return absl::InternalError("a statement of no kind");
  }

  absl::Status CheckOutput() {
    if (out_.size() <= kMaxTextBytes) return absl::OkStatus();
    return absl::ResourceExhaustedError("the template writes more than 4 MiB");
  }

  [[gnu::noinline]] absl::Status Print(const Stmt& stmt, Scope* scope) {
    SHOAL_ASSIGN_OR_RETURN(const Value value, Eval(*stmt.exprs[0], scope));
    SHOAL_RETURN_IF_ERROR(env_.budget.Charge(static_cast<size_t>(value.weight())));
    SHOAL_RETURN_IF_ERROR(AppendStr(value, &out_));
    return CheckOutput();
  }

  [[gnu::noinline]] absl::StatusOr<Flow> If(const Stmt& stmt, Scope* scope) {
    for (size_t i = 0; i < stmt.exprs.size(); ++i) {
      SHOAL_ASSIGN_OR_RETURN(const Value condition, Eval(*stmt.exprs[i], scope));
      if (condition.Truthy()) return Execute(stmt.blocks[i], scope);
    }
    if (stmt.blocks.size() == stmt.exprs.size()) return Flow::kNext;
    return Execute(stmt.blocks.back(), scope);
  }

  // The items of a loop, those that its `if` keeps.
  absl::StatusOr<std::vector<Value>> LoopItems(const Stmt& stmt, Scope* scope) {
    SHOAL_ASSIGN_OR_RETURN(const Value source, Eval(*stmt.exprs[0], scope));
    SHOAL_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(env_, source));
    if (stmt.exprs[1] == nullptr) return items;
    std::vector<Value> kept;
    for (Value& item : items) {
      Scope inner{.parent = scope, .names = {}};
      SHOAL_RETURN_IF_ERROR(AssignTargets(stmt, item, &inner));
      SHOAL_ASSIGN_OR_RETURN(const Value keep, Eval(*stmt.exprs[1], &inner));
      if (keep.Truthy()) kept.push_back(std::move(item));
    }
    return kept;
  }

  [[gnu::noinline]] absl::StatusOr<Flow> For(const Stmt& stmt, Scope* scope) {
    SHOAL_ASSIGN_OR_RETURN(std::vector<Value> kept, LoopItems(stmt, scope));
    Scope inner{.parent = scope, .names = {}};
    if (kept.empty()) return Execute(stmt.blocks[1], &inner);
    SHOAL_ASSIGN_OR_RETURN(const Value items, Value::Of(Kind::kList, std::move(kept)));
    auto loop = std::make_shared<Loop>();
    loop->items = items.shared_sequence();
    for (size_t i = 0; i < loop->items->items.size(); ++i) {
      SHOAL_RETURN_IF_ERROR(env_.budget.Charge(1));
      loop->index = i;
      inner.names.clear();
      if (loop_symbol_ >= 0) inner.Set(loop_symbol_, Value::Of(loop));
      SHOAL_RETURN_IF_ERROR(AssignTargets(stmt, loop->items->items[i], &inner));
      SHOAL_ASSIGN_OR_RETURN(const Flow flow, Execute(stmt.blocks[0], &inner));
      if (flow == Flow::kBreak) break;
    }
    return Flow::kNext;
  }

  [[gnu::noinline]] absl::StatusOr<Flow> With(const Stmt& stmt, Scope* scope) {
    Scope inner{.parent = scope, .names = {}};
    for (size_t i = 0; i < stmt.targets.size(); ++i) {
      SHOAL_ASSIGN_OR_RETURN(Value value, Eval(*stmt.exprs[i], scope));
      inner.Set(stmt.targets[i].symbol, std::move(value));
    }
    return Execute(stmt.blocks[0], &inner);
  }

  [[gnu::noinline]] absl::Status Set(const Stmt& stmt, Scope* scope) {
    SHOAL_ASSIGN_OR_RETURN(const Value value, Eval(*stmt.exprs[0], scope));
    return AssignTargets(stmt, value, scope);
  }

  // A block whose text is not printed but filtered, and printed or assigned then.
  [[gnu::noinline]] absl::Status Captured(const Stmt& stmt, Scope* scope) {
    SHOAL_ASSIGN_OR_RETURN(Text text, Capture(stmt.blocks[0], scope, /*isolated=*/true));
    Value value = Value::String(std::move(text));
    if (stmt.exprs[0] != nullptr) {
      const Value* outer = std::exchange(block_text_, &value);
      auto filtered = Eval(*stmt.exprs[0], scope);
      block_text_ = outer;
      SHOAL_RETURN_IF_ERROR(filtered.status());
      value = *std::move(filtered);
    }
    if (stmt.kind == StmtKind::kSetBlock) return AssignTargets(stmt, value, scope);
    SHOAL_RETURN_IF_ERROR(env_.budget.Charge(static_cast<size_t>(value.weight())));
    SHOAL_RETURN_IF_ERROR(AppendStr(value, &out_));
    return CheckOutput();
  }

  // What a block prints. Isolated: its assignments end with it.
  absl::StatusOr<Text> Capture(const Block& block, Scope* scope, bool isolated) {
    Text outer = std::exchange(out_, Text());
    Scope inner{.parent = scope, .names = {}};
    const auto flow = Execute(block, isolated ? &inner : scope);
    Text captured = std::exchange(out_, std::move(outer));
    SHOAL_RETURN_IF_ERROR(flow.status());
    SHOAL_RETURN_IF_ERROR(env_.budget.ChargeBytes(captured.size()));
    return captured;
  }

  // --- Names.

  void Assign(int symbol, Value value, Scope* scope) {
    if (scope != nullptr) return scope->Set(symbol, std::move(value));
    globals_[static_cast<size_t>(symbol)] = std::move(value);
  }

  absl::Status AssignTargets(const Stmt& stmt, const Value& value, Scope* scope) {
    if (!stmt.unpack) return AssignTarget(stmt.targets[0], value, scope);
    SHOAL_ASSIGN_OR_RETURN(const std::vector<Value> parts, Iterate(env_, value));
    if (parts.size() != stmt.targets.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(parts.size(), " values for ", stmt.targets.size(), " names"));
    }
    for (size_t i = 0; i < parts.size(); ++i) {
      SHOAL_RETURN_IF_ERROR(AssignTarget(stmt.targets[i], parts[i], scope));
    }
    return absl::OkStatus();
  }

  absl::Status AssignTarget(const Target& target, const Value& value, Scope* scope) {
    if (target.attribute.empty()) {
      Assign(target.symbol, value, scope);
      return absl::OkStatus();
    }
    const Value space = Lookup(target.symbol, scope);
    if (!space.is(Kind::kNamespace)) {
      return absl::InvalidArgumentError("only a namespace's attributes can be assigned to");
    }
    for (auto& [name, old] : space.space().attributes) {
      if (name != target.attribute) continue;
      old = value;
      return absl::OkStatus();
    }
    space.space().attributes.emplace_back(target.attribute, value);
    return env_.budget.Charge(space.space().attributes.size());
  }

  Value Lookup(int symbol, const Scope* scope) const {
    for (; scope != nullptr; scope = scope->parent) {
      for (const auto& [name, value] : scope->names) {
        if (name == symbol) return value;
      }
    }
    return globals_[static_cast<size_t>(symbol)];
  }

  // --- Expressions.

  absl::StatusOr<Value> Eval(const Expr& expr, Scope* scope) {
    const Frame frame(&n_frames_);
    SHOAL_RETURN_IF_ERROR(Enter(expr.line));
    switch (expr.kind) {
      case ExprKind::kConstant:
        return expr.constant;
      case ExprKind::kName:
        return EvalName(expr, scope);
      case ExprKind::kList:
        return EvalItems(Kind::kList, expr, scope);
      case ExprKind::kTuple:
        return EvalItems(Kind::kTuple, expr, scope);
      case ExprKind::kDict:
        return EvalDict(expr, scope);
      case ExprKind::kAttribute:
        return EvalAttribute(expr, scope);
      case ExprKind::kIndex:
        return EvalIndex(expr, scope);
      case ExprKind::kSlice:
        return EvalSlice(expr, scope);
      case ExprKind::kCall:
        return EvalCall(expr, scope);
      case ExprKind::kFilter:
      case ExprKind::kTest:
        return EvalBuiltin(expr, scope);
      case ExprKind::kNot:
      case ExprKind::kNegate:
      case ExprKind::kPlus:
        return EvalUnary(expr, scope);
      case ExprKind::kAnd:
      case ExprKind::kOr:
        return EvalLogic(expr, scope);
      case ExprKind::kConcat:
        return EvalConcat(expr, scope);
      case ExprKind::kBinary:
        return EvalBinary(expr, scope);
      case ExprKind::kCompare:
        return EvalCompare(expr, scope);
      case ExprKind::kChoice:
        return EvalChoice(expr, scope);
    }
    return absl::InternalError("an expression of no kind");
  }

  [[gnu::noinline]] absl::StatusOr<Value> EvalName(const Expr& expr, const Scope* scope) const {
    Value value = Lookup(expr.symbol, scope);
    if (value.is_undefined()) return Value::Undefined("'" + expr.name + "' is undefined");
    return value;
  }

  [[gnu::noinline]] absl::StatusOr<Value> EvalItems(Kind kind, const Expr& expr, Scope* scope) {
    std::vector<Value> items;
    for (const ExprPtr& arg : expr.args) {
      SHOAL_ASSIGN_OR_RETURN(Value item, Eval(*arg, scope));
      items.push_back(std::move(item));
    }
    return Value::Of(kind, std::move(items));
  }

  [[gnu::noinline]] absl::StatusOr<Value> EvalDict(const Expr& expr, Scope* scope) {
    Dict dict;
    for (size_t i = 0; i + 1 < expr.args.size(); i += 2) {
      SHOAL_ASSIGN_OR_RETURN(Value key, Eval(*expr.args[i], scope));
      SHOAL_ASSIGN_OR_RETURN(Value value, Eval(*expr.args[i + 1], scope));
      if (!key.is_string() && !key.is_number() && !key.is(Kind::kNone)) {
        return absl::UnimplementedError(
            absl::StrCat("a dict key of type ", key.TypeName(), " is not known"));
      }
      SHOAL_RETURN_IF_ERROR(env_.budget.Charge(1 + dict.items.size() / 16));
      dict.Set(std::move(key), std::move(value));
    }
    return Value::Of(std::move(dict));
  }

  [[gnu::noinline]] absl::StatusOr<Value> EvalAttribute(const Expr& expr, Scope* scope) {
    SHOAL_ASSIGN_OR_RETURN(const Value object, Eval(*expr.args[0], scope));
    return GetAttribute(env_, object, expr.name);
  }

  [[gnu::noinline]] absl::StatusOr<Value> EvalIndex(const Expr& expr, Scope* scope) {
    SHOAL_ASSIGN_OR_RETURN(const Value object, Eval(*expr.args[0], scope));
    SHOAL_ASSIGN_OR_RETURN(const Value key, Eval(*expr.args[1], scope));
    return GetItem(env_, object, key);
  }

  [[gnu::noinline]] absl::StatusOr<Value> EvalSlice(const Expr& expr, Scope* scope) {
    SHOAL_ASSIGN_OR_RETURN(const Value object, Eval(*expr.args[0], scope));
    std::optional<int64_t> bounds[3];
    for (int i = 0; i < 3; ++i) {
      if (expr.args[i + 1] == nullptr) continue;
      SHOAL_ASSIGN_OR_RETURN(const Value bound, Eval(*expr.args[i + 1], scope));
      if (bound.is(Kind::kNone)) continue;
      if (bound.is_undefined()) return bound.UndefinedError();
      if (!bound.is_int()) return absl::InvalidArgumentError("a slice needs integers");
      bounds[i] = bound.as_int();
    }
    return Slice(env_, object, bounds[0], bounds[1], bounds[2]);
  }

  absl::StatusOr<Arguments> EvalArguments(const Expr& expr, Scope* scope) {
    Arguments arguments;
    for (size_t i = 1; i < expr.args.size(); ++i) {
      SHOAL_ASSIGN_OR_RETURN(Value value, Eval(*expr.args[i], scope));
      arguments.positional.push_back(std::move(value));
    }
    for (const auto& [name, arg] : expr.named) {
      SHOAL_ASSIGN_OR_RETURN(Value value, Eval(*arg, scope));
      arguments.named.emplace_back(name, std::move(value));
    }
    return arguments;
  }

  [[gnu::noinline]] absl::StatusOr<Value> EvalCall(const Expr& expr, Scope* scope) {
    SHOAL_ASSIGN_OR_RETURN(const Value callee, Eval(*expr.args[0], scope));
    SHOAL_ASSIGN_OR_RETURN(const Arguments arguments, EvalArguments(expr, scope));
    line_ = expr.line;
    if (callee.is(Kind::kMethod)) return CallMethod(env_, callee.method(), arguments);
    if (callee.is(Kind::kFunction)) return CallFunction(env_, callee.function(), arguments);
    if (callee.is(Kind::kMacro)) return CallMacro(callee.macro(), arguments);
    if (callee.is_undefined()) return callee.UndefinedError();
    if (callee.is(Kind::kLoop)) return absl::UnimplementedError("loop() is not known");
    return absl::InvalidArgumentError(
        absl::StrCat("a value of type ", callee.TypeName(), " cannot be called"));
  }

  absl::StatusOr<Value> CallMacro(const Stmt& macro, const Arguments& arguments) {
    const Frame call(&n_calls_);
    if (n_calls_ > kMaxCalls) {
      return absl::ResourceExhaustedError(
          absl::StrCat("macros call one another deeper than ", kMaxCalls));
    }
    std::vector<std::string_view> names;
    names.reserve(macro.parameters.size());
    for (const Parameter& parameter : macro.parameters) names.push_back(parameter.name);
    SHOAL_ASSIGN_OR_RETURN(std::vector<std::optional<Value>> bound,
                           Bind("macro", arguments, std::move(names)));
    Scope inner;
    for (size_t i = 0; i < bound.size(); ++i) {
      const Parameter& parameter = macro.parameters[i];
      Value value;
      if (bound[i].has_value()) {
        value = *std::move(bound[i]);
      } else if (parameter.fallback != nullptr) {
        SHOAL_ASSIGN_OR_RETURN(value, Eval(*parameter.fallback, &inner));
      } else {
        value = Value::Undefined("parameter '" + parameter.name + "' was not provided");
      }
      inner.Set(parameter.symbol, std::move(value));
    }
    SHOAL_ASSIGN_OR_RETURN(Text text, Capture(macro.blocks[0], &inner, /*isolated=*/false));
    return Value::String(std::move(text));
  }

  [[gnu::noinline]] absl::StatusOr<Value> EvalBuiltin(const Expr& expr, Scope* scope) {
    Value input;
    if (expr.args[0] != nullptr) {
      SHOAL_ASSIGN_OR_RETURN(input, Eval(*expr.args[0], scope));
    } else {
      input = *block_text_;
    }
    SHOAL_ASSIGN_OR_RETURN(const Arguments arguments, EvalArguments(expr, scope));
    line_ = expr.line;
    return expr.builtin->fn(env_, input, arguments);
  }

  [[gnu::noinline]] absl::StatusOr<Value> EvalUnary(const Expr& expr, Scope* scope) {
    SHOAL_ASSIGN_OR_RETURN(const Value value, Eval(*expr.args[0], scope));
    if (expr.kind == ExprKind::kNot) return Value::Bool(!value.Truthy());
    return Negate(value, expr.kind == ExprKind::kPlus);
  }

  [[gnu::noinline]] absl::StatusOr<Value> EvalLogic(const Expr& expr, Scope* scope) {
    SHOAL_ASSIGN_OR_RETURN(Value left, Eval(*expr.args[0], scope));
    if (left.Truthy() == (expr.kind == ExprKind::kOr)) return left;
    return Eval(*expr.args[1], scope);
  }

  [[gnu::noinline]] absl::StatusOr<Value> EvalConcat(const Expr& expr, Scope* scope) {
    Text text;
    for (const ExprPtr& arg : expr.args) {
      SHOAL_ASSIGN_OR_RETURN(const Value value, Eval(*arg, scope));
      SHOAL_RETURN_IF_ERROR(env_.budget.Charge(static_cast<size_t>(value.weight())));
      SHOAL_RETURN_IF_ERROR(AppendStr(value, &text));
      SHOAL_RETURN_IF_ERROR(env_.budget.ChargeBytes(text.size()));
    }
    return Value::String(std::move(text));
  }

  [[gnu::noinline]] absl::StatusOr<Value> EvalBinary(const Expr& expr, Scope* scope) {
    SHOAL_ASSIGN_OR_RETURN(const Value left, Eval(*expr.args[0], scope));
    SHOAL_ASSIGN_OR_RETURN(const Value right, Eval(*expr.args[1], scope));
    line_ = expr.line;
    return Arithmetic(env_, expr.name, left, right);
  }

  [[gnu::noinline]] absl::StatusOr<Value> EvalCompare(const Expr& expr, Scope* scope) {
    SHOAL_ASSIGN_OR_RETURN(Value left, Eval(*expr.args[0], scope));
    for (size_t i = 0; i < expr.operators.size(); ++i) {
      SHOAL_ASSIGN_OR_RETURN(Value right, Eval(*expr.args[i + 1], scope));
      SHOAL_ASSIGN_OR_RETURN(const bool holds, Compare(env_, expr.operators[i], left, right));
      if (!holds) return Value::Bool(false);
      left = std::move(right);
    }
    return Value::Bool(true);
  }

  [[gnu::noinline]] absl::StatusOr<Value> EvalChoice(const Expr& expr, Scope* scope) {
    SHOAL_ASSIGN_OR_RETURN(const Value condition, Eval(*expr.args[1], scope));
    if (condition.Truthy()) return Eval(*expr.args[0], scope);
    if (expr.args[2] != nullptr) return Eval(*expr.args[2], scope);
    return Value::Undefined(
        "the inline if-expression evaluated to false and no else section was defined");
  }

  const Program& program_;
  std::vector<Value> globals_;  // By symbol: the top level's names.
  Environment env_;
  Text out_;                           // Of the template, or of the block being captured.
  const Value* block_text_ = nullptr;  // What a block's filters apply to.
  int loop_symbol_ = -1;
  int line_ = 1;
  int n_frames_ = 0;
  int n_calls_ = 0;
};

}  // namespace

absl::StatusOr<Text> Run(const Program& program, std::vector<Value> globals, absl::Time now) {
  return Interpreter(program, std::move(globals), now).Run();
}

}  // namespace shoal::jinja
