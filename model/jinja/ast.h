#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/jinja/value.h"

namespace shoal::jinja {

struct Builtin;  // A filter or a test, see builtins.h.

enum class ExprKind {
  kConstant,
  kName,       // symbol
  kList,       // args
  kTuple,      // args
  kDict,       // args: key, value, key, value, ...
  kAttribute,  // args[0] . name
  kIndex,      // args[0] [ args[1] ]
  kSlice,      // args[0] [ args[1] : args[2] : args[3] ], each part may be null
  kCall,       // args[0] ( args[1..], named )
  kFilter,     // args[0] | builtin ( args[1..], named )
  kTest,       // args[0] is builtin ( args[1..], named )
  kNot,
  kNegate,
  kPlus,
  kAnd,
  kOr,
  kConcat,   // args, any number
  kBinary,   // args[0] name args[1]
  kCompare,  // args[0] operators[0] args[1] operators[1] args[2] ...
  kChoice,   // args[0] if args[1] else args[2], which may be null
};

struct Expr {
  ExprKind kind;
  int line = 1;
  int depth = 1;
  int symbol = -1;
  Value constant;
  std::string name;
  const Builtin* builtin = nullptr;
  std::vector<std::unique_ptr<Expr>> args;
  std::vector<std::pair<std::string, std::unique_ptr<Expr>>> named;
  std::vector<std::string> operators;
};
using ExprPtr = std::unique_ptr<Expr>;

struct Stmt;
using Block = std::vector<std::unique_ptr<Stmt>>;

// Filters of a block ({% filter f | g %}, {% set x | f %}) are a chain of kFilter expressions whose
// innermost args[0] is null: there the block's text comes in.
enum class StmtKind {
  kText,      // text
  kPrint,     // exprs[0]
  kIf,        // exprs[i] guards blocks[i]; one block more is the else
  kFor,       // targets in exprs[0], filtered by exprs[1] or null; blocks: body, else
  kSet,       // targets = exprs[0]
  kSetBlock,  // targets[0] = blocks[0] through exprs[0] or null
  kMacro,     // name, parameters, blocks[0]
  kFilter,    // exprs[0] applied to blocks[0]
  kWith,      // targets[i] = exprs[i], then blocks[0]
  kBreak,
  kContinue,
};

// What an assignment writes to: a name, or an attribute of a namespace.
struct Target {
  int symbol = -1;
  std::string attribute;  // Empty: the name itself.
};

struct Parameter {
  int symbol = -1;
  std::string name;
  ExprPtr fallback;  // Null: none.
};

struct Stmt {
  StmtKind kind;
  int line = 1;
  std::string text;
  bool unpack = false;  // Several targets share one value.
  std::vector<Target> targets;
  std::vector<ExprPtr> exprs;
  std::vector<Block> blocks;
  std::vector<Parameter> parameters;
};

// A parsed template. Names are numbered: symbols[i] is the name of symbol i.
struct Program {
  Block body;
  std::vector<std::string> symbols;
};

}  // namespace shoal::jinja
