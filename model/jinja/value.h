#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "model/jinja/text.h"

namespace shoal::jinja {

class Value;
struct Stmt;

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kMarkup,  // What `e` and `safe` give: a string that escapes what is put to it.
  kList,
  kTuple,
  kView,       // range(), dict.items() and their like: iterable again and again, never printed.
  kGenerator,  // What map, select and reverse give: iterable once, always true, without length.
  kDict,
  kNamespace,
  kLoop,
  kMacro,
  kFunction,  // A global function, by name.
  kMethod,    // A method bound to its object.
};

struct Sequence {
  std::vector<Value> items;
  int depth = 1;       // Levels of values inside one another.
  int64_t weight = 1;  // Values inside, each as often as a walk meets it.
  size_t next = 0;     // Of a generator: the first item not yet taken.
};

// Keys keep their order. At most one entry per key, with Python's equality (1 == 1.0 == True).
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  int depth = 1;
  int64_t weight = 1;

  const Value* Find(const Value& key) const;
  const Value* Find(std::string_view key) const;
  void Set(Value key, Value value);

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
  };
  // Index of string keys, made when the dict outgrows a linear search.
  std::unordered_map<std::string, size_t, Hash, std::equal_to<>> index_;
};

struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;
};

// The `loop` variable. `items` is shared with the running loop.
struct Loop {
  std::shared_ptr<const Sequence> items;
  size_t index = 0;
};

struct Method {
  std::shared_ptr<const Value> object;
  std::string name;
  int depth = 1;
};

// A value of the template language. Immutable but for namespaces and generators, cheap to copy.
class Value {
 public:
  Value() = default;  // Undefined.
  // `hint`: the error when it is used, as in "'x' is undefined".
  static Value Undefined(std::string hint);
  static Value None();
  static Value Bool(bool b);
  static Value Int(int64_t i);
  static Value Float(double d);
  static Value String(Text text);
  static Value String(std::string bytes) { return String(Text(std::move(bytes))); }
  static Value Markup(Text text);
  // A string or markup, as this one is.
  Value Alike(Text text) const;
  static Value Macro(const Stmt* macro);
  static Value Function(const char* name);  // `name` is static.
  static Value Of(Namespace* space);        // `space` outlives the value.
  static Value Of(std::shared_ptr<Loop> loop);
  // ResourceExhausted when values nest deeper than kMaxNesting.
  static absl::StatusOr<Value> Of(Kind kind, std::vector<Value> items);
  static absl::StatusOr<Value> Of(Dict dict);
  static absl::StatusOr<Value> BoundMethod(const Value& object, std::string name);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_undefined() const { return kind_ == Kind::kUndefined; }
  bool is_string() const { return kind_ == Kind::kString || kind_ == Kind::kMarkup; }
  bool is_int() const { return kind_ == Kind::kInt || kind_ == Kind::kBool; }  // As in Python.
  bool is_number() const { return is_int() || kind_ == Kind::kFloat; }
  bool is_sequence() const { return kind_ >= Kind::kList && kind_ <= Kind::kGenerator; }
  bool is_mapping() const { return kind_ == Kind::kDict; }

  // Each needs the fitting kind.
  bool as_bool() const { return std::get<int64_t>(data_) != 0; }
  int64_t as_int() const { return std::get<int64_t>(data_); }
  double as_float() const;  // Any number.
  const Text& text() const { return *std::get<std::shared_ptr<const Text>>(data_); }
  std::string_view str() const { return text().view(); }
  Sequence& sequence() const { return *std::get<std::shared_ptr<Sequence>>(data_); }
  std::shared_ptr<Sequence> shared_sequence() const {
    return std::get<std::shared_ptr<Sequence>>(data_);
  }
  const Dict& dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }
  Namespace& space() const { return *std::get<Namespace*>(data_); }
  Loop& loop() const { return *std::get<std::shared_ptr<Loop>>(data_); }
  const Stmt& macro() const { return *std::get<const Stmt*>(data_); }
  const char* function() const { return std::get<const char*>(data_); }
  const Method& method() const { return *std::get<std::shared_ptr<const Method>>(data_); }

  int depth() const;
  // Steps that a walk over the whole value takes, at most 2^40: values may share parts, so this can
  // be far more than they hold in memory.
  int64_t weight() const;
  bool Truthy() const;
  // InvalidArgument saying why an undefined value may not be used.
  absl::Status UndefinedError() const;
  // Python's name of the type: "str", "int", "dict".
  const char* TypeName() const;

 private:
  Kind kind_ = Kind::kUndefined;
  std::variant<std::monostate, int64_t, double, const char*, const Stmt*, Namespace*,
               std::shared_ptr<const Text>, std::shared_ptr<Sequence>, std::shared_ptr<const Dict>,
               std::shared_ptr<Loop>, std::shared_ptr<const Method>>
      data_;
};

// Python's ==.
bool Equal(const Value& a, const Value& b);
// Python's <; InvalidArgument for values without an order.
absl::StatusOr<bool> Less(const Value& a, const Value& b);

}  // namespace shoal::jinja
