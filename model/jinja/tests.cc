// Jinja's tests: what stands after `is`.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/jinja/builtins.h"
#include "model/jinja/text_functions.h"

namespace shoal::jinja {
namespace {

using Result = absl::StatusOr<Value>;

template <bool (*predicate)(const Value&)>
Result TypeTest(Environment&, const Value& input, const Arguments& args) {
  SHOAL_RETURN_IF_ERROR(Bind("the test", args, {}).status());
  return Value::Bool(predicate(input));
}

bool IsDefined(const Value& v) { return !v.is_undefined(); }
bool IsUndefined(const Value& v) { return v.is_undefined(); }
bool IsNone(const Value& v) { return v.is(Kind::kNone); }
bool IsTrue(const Value& v) { return v.is(Kind::kBool) && v.as_bool(); }
bool IsFalse(const Value& v) { return v.is(Kind::kBool) && !v.as_bool(); }
bool IsBoolean(const Value& v) { return v.is(Kind::kBool); }
bool IsInteger(const Value& v) { return v.is(Kind::kInt); }
bool IsFloat(const Value& v) { return v.is(Kind::kFloat); }
bool IsNumber(const Value& v) { return v.is_number(); }
bool IsString(const Value& v) { return v.is_string(); }
bool IsMapping(const Value& v) { return v.is_mapping(); }
bool IsIterable(const Value& v) {
  return v.is_sequence() || v.is_mapping() || v.is_string() || v.is_undefined() ||
         v.is(Kind::kLoop);
}
bool IsSequence(const Value& v) {
  return v.is(Kind::kList) || v.is(Kind::kTuple) || v.is_mapping() || v.is_string() ||
         v.is_undefined();
}
bool IsCallable(const Value& v) {
  return v.is(Kind::kMacro) || v.is(Kind::kFunction) || v.is(Kind::kMethod) || v.is(Kind::kLoop) ||
         v.is_undefined();
}

absl::StatusOr<Value> TheArgument(const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const auto bound, Bind("the test", args, {"other"}));
  if (!bound[0].has_value()) return absl::InvalidArgumentError("the test lacks an argument");
  return *bound[0];
}

enum class Order { kEq, kNe, kLt, kLe, kGt, kGe };

template <Order order>
Result CompareTest(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Value other, TheArgument(args));
  if (order != Order::kEq && order != Order::kNe) {
    const bool swapped = order == Order::kGt || order == Order::kGe;
    SHOAL_ASSIGN_OR_RETURN(
        const bool less, swapped ? ChargedLess(env, other, input) : ChargedLess(env, input, other));
    if (less || order == Order::kLt || order == Order::kGt) return Value::Bool(less);
  }
  SHOAL_ASSIGN_OR_RETURN(const bool equal, ChargedEqual(env, input, other));
  return Value::Bool(equal != (order == Order::kNe));
}

Result In(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Value container, TheArgument(args));
  SHOAL_ASSIGN_OR_RETURN(const bool in, Contains(env, container, input));
  return Value::Bool(in);
}

absl::StatusOr<int64_t> IntegerOf(const Value& value) {
  if (value.is_undefined()) return value.UndefinedError();
  if (!value.is_int()) return absl::InvalidArgumentError("the test needs an integer");
  return value.as_int();
}

template <bool want_odd>
Result Parity(Environment&, const Value& input, const Arguments& args) {
  SHOAL_RETURN_IF_ERROR(Bind("the test", args, {}).status());
  SHOAL_ASSIGN_OR_RETURN(const int64_t value, IntegerOf(input));
  return Value::Bool((value % 2 != 0) == want_odd);
}

Result DivisibleBy(Environment&, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Value argument, TheArgument(args));
  SHOAL_ASSIGN_OR_RETURN(const int64_t value, IntegerOf(input));
  SHOAL_ASSIGN_OR_RETURN(const int64_t divisor, IntegerOf(argument));
  if (divisor == 0) return absl::InvalidArgumentError("division by zero");
  return Value::Bool(divisor == -1 || value % divisor == 0);
}

Result SameAs(Environment&, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Value other, TheArgument(args));
  const auto single = [](const Value& v) { return v.is(Kind::kNone) || v.is(Kind::kBool); };
  if (!single(input) && !single(other)) {
    return absl::UnimplementedError("sameas of anything but none, true and false is not known");
  }
  return Value::Bool(input.kind() == other.kind() && Equal(input, other));
}

// Whether the text has letters and all of them are in that case.
template <Case to>
Result IsCase(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_RETURN_IF_ERROR(Bind("the test", args, {}).status());
  SHOAL_ASSIGN_OR_RETURN(const Text text, ToText(env, input));
  const Case other = to == Case::kLower ? Case::kUpper : Case::kLower;
  return Value::Bool(ChangeCase(text, to).bytes() == text.bytes() &&
                     ChangeCase(text, other).bytes() != text.bytes());
}

constexpr Builtin kTests[] = {
    {"defined", TypeTest<IsDefined>},
    {"undefined", TypeTest<IsUndefined>},
    {"none", TypeTest<IsNone>},
    {"true", TypeTest<IsTrue>},
    {"false", TypeTest<IsFalse>},
    {"boolean", TypeTest<IsBoolean>},
    {"integer", TypeTest<IsInteger>},
    {"float", TypeTest<IsFloat>},
    {"number", TypeTest<IsNumber>},
    {"string", TypeTest<IsString>},
    {"mapping", TypeTest<IsMapping>},
    {"iterable", TypeTest<IsIterable>},
    {"sequence", TypeTest<IsSequence>},
    {"callable", TypeTest<IsCallable>},
    {"eq", CompareTest<Order::kEq>},
    {"equalto", CompareTest<Order::kEq>},
    {"==", CompareTest<Order::kEq>},
    {"ne", CompareTest<Order::kNe>},
    {"!=", CompareTest<Order::kNe>},
    {"lt", CompareTest<Order::kLt>},
    {"lessthan", CompareTest<Order::kLt>},
    {"<", CompareTest<Order::kLt>},
    {"le", CompareTest<Order::kLe>},
    {"<=", CompareTest<Order::kLe>},
    {"gt", CompareTest<Order::kGt>},
    {"greaterthan", CompareTest<Order::kGt>},
    {">", CompareTest<Order::kGt>},
    {"ge", CompareTest<Order::kGe>},
    {">=", CompareTest<Order::kGe>},
    {"in", In},
    {"even", Parity<false>},
    {"odd", Parity<true>},
    {"divisibleby", DivisibleBy},
    {"sameas", SameAs},
    {"lower", IsCase<Case::kLower>},
    {"upper", IsCase<Case::kUpper>},
};

}  // namespace

const Builtin* FindTest(std::string_view name) {
  for (const Builtin& test : kTests) {
    if (name == test.name) return &test;
  }
  return nullptr;
}

}  // namespace shoal::jinja
