#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/jinja/budget.h"
#include "model/jinja/value.h"

namespace shoal::jinja {

// Arguments of a call as written: by position, then by name.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// What builtins may touch.
struct Environment {
  Budget budget;
  absl::Time now;
  std::vector<std::unique_ptr<Namespace>> spaces;  // Every namespace of a rendering; they may refer
                                                   // to one another, so none owns another.
  bool raised = false;                             // The error is raise_exception's.
};

// A filter or a test: input and arguments to a value (tests: a boolean).
struct Builtin {
  using Fn = absl::StatusOr<Value> (*)(Environment& env, const Value& input,
                                       const Arguments& arguments);
  const char* name;
  Fn fn;
};

// Null for a name that is not known.
const Builtin* FindFilter(std::string_view name);
const Builtin* FindTest(std::string_view name);
// "range", "namespace", ...: its static name, or null.
const char* FindFunction(std::string_view name);

absl::StatusOr<Value> CallFunction(Environment& env, std::string_view name,
                                   const Arguments& arguments);
absl::StatusOr<Value> CallMethod(Environment& env, const Method& method,
                                 const Arguments& arguments);
// Whether Python's type of `object` has a method of that name.
bool HasMethod(const Value& object, std::string_view name);

// --- Pieces shared by the above and the interpreter.

// Arguments sorted into parameters; InvalidArgument for one too many or an unknown name.
absl::StatusOr<std::vector<std::optional<Value>>> Bind(const char* function,
                                                       const Arguments& arguments,
                                                       std::vector<std::string_view> parameters);
// Attribute access, methods first (`a.b`), and subscripts, entries first (`a['b']`).
absl::StatusOr<Value> GetAttribute(Environment& env, const Value& object, std::string_view name);
absl::StatusOr<Value> GetItem(Environment& env, const Value& object, const Value& key);
// The items that a loop over `value` meets. Uses up a generator.
absl::StatusOr<std::vector<Value>> Iterate(Environment& env, const Value& value);
// Characters of a string, elements of a container; InvalidArgument where Python's len() raises.
absl::StatusOr<int64_t> Length(const Value& value);
// str(value), charged.
absl::StatusOr<Text> ToText(Environment& env, const Value& value);
// str(value) as HTML, charged; of markup as it is.
absl::StatusOr<Text> Escaped(Environment& env, const Value& value);
// Python's `in`.
absl::StatusOr<bool> Contains(Environment& env, const Value& container, const Value& item);
// Charges a search for `needle` in `text`, whose worst case is their product.
absl::Status ChargeSearch(Environment& env, std::string_view text, std::string_view needle);
// Python's ==, charged.
absl::StatusOr<bool> ChargedEqual(Environment& env, const Value& a, const Value& b);
absl::StatusOr<bool> ChargedLess(Environment& env, const Value& a, const Value& b);

}  // namespace shoal::jinja
