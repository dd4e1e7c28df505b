#include "model/jinja/arithmetic.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/jinja/text_functions.h"

namespace shoal::jinja {
namespace {

absl::Status Mismatch(std::string_view op, const Value& a, const Value& b) {
  if (a.is_undefined()) return a.UndefinedError();
  if (b.is_undefined()) return b.UndefinedError();
  return absl::InvalidArgumentError(absl::StrCat("unsupported operands for ", std::string(op),
                                                 ": '", a.TypeName(), "' and '", b.TypeName(),
                                                 "'"));
}

absl::Status Overflow() {
  return absl::InvalidArgumentError("an integer of the template does not fit 64 bits");
}

absl::StatusOr<Value> IntPower(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return absl::InvalidArgumentError("zero to a negative power");
    return Value::Float(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  if (exponent > 64 && (base < -1 || base > 1)) return Overflow();
  if (base >= -1 && base <= 1)
    return Value::Int(exponent == 0 ? 1 : exponent % 2 ? base : base * base);
  int64_t result = 1;
  for (int64_t i = 0; i < exponent; ++i) {
    if (__builtin_mul_overflow(result, base, &result)) return Overflow();
  }
  return Value::Int(result);
}

absl::StatusOr<Value> IntArithmetic(std::string_view op, int64_t a, int64_t b) {
  int64_t out = 0;
  if (op == "+")
    return __builtin_add_overflow(a, b, &out) ? Overflow() : absl::StatusOr<Value>(Value::Int(out));
  if (op == "-")
    return __builtin_sub_overflow(a, b, &out) ? Overflow() : absl::StatusOr<Value>(Value::Int(out));
  if (op == "*")
    return __builtin_mul_overflow(a, b, &out) ? Overflow() : absl::StatusOr<Value>(Value::Int(out));
  if (op == "**") return IntPower(a, b);
  if (b == 0) return absl::InvalidArgumentError("division by zero");
  if (op == "/") return Value::Float(static_cast<double>(a) / static_cast<double>(b));
  if (b == -1) {
    if (op == "%") return Value::Int(0);
    return __builtin_sub_overflow(int64_t{0}, a, &out) ? Overflow()
                                                       : absl::StatusOr<Value>(Value::Int(out));
  }
  const int64_t remainder = a % b;
  const bool adjust = remainder != 0 && (remainder < 0) != (b < 0);  // Python rounds down.
  if (op == "%") return Value::Int(adjust ? remainder + b : remainder);
  return Value::Int(a / b - (adjust ? 1 : 0));
}

absl::StatusOr<Value> FloatArithmetic(std::string_view op, double a, double b) {
  if (op == "+") return Value::Float(a + b);
  if (op == "-") return Value::Float(a - b);
  if (op == "*") return Value::Float(a * b);
  if (op == "**") {
    const double power = std::pow(a, b);
    if (!std::isfinite(power) && std::isfinite(a) && std::isfinite(b)) {
      return absl::InvalidArgumentError("a power has no finite value");
    }
    return Value::Float(power);
  }
  if (b == 0) return absl::InvalidArgumentError("division by zero");
  if (op == "/") return Value::Float(a / b);
  double remainder = std::fmod(a, b);
  if (remainder != 0 && (remainder < 0) != (b < 0)) remainder += b;
  if (op == "%") return Value::Float(remainder == 0 ? std::copysign(0.0, b) : remainder);
  return Value::Float(std::round((a - remainder) / b));
}

absl::StatusOr<Value> Repeat(Environment& env, const Value& value, int64_t count) {
  const auto n = static_cast<size_t>(std::clamp<int64_t>(count, 0, kMaxTextBytes));
  if (value.is_string()) {
    SHOAL_RETURN_IF_ERROR(env.budget.ChargeBytes(value.text().size() * n));
    SHOAL_RETURN_IF_ERROR(env.budget.Charge(value.text().empty() ? 0 : n / 16));
    Text text;
    for (size_t i = 0; i < n && !value.text().empty(); ++i) text.Append(value.text());
    return value.Alike(std::move(text));
  }
  const std::vector<Value>& items = value.sequence().items;
  SHOAL_RETURN_IF_ERROR(env.budget.Charge(items.size() * n));
  std::vector<Value> out;
  for (size_t i = 0; i < n && !items.empty(); ++i)
    out.insert(out.end(), items.begin(), items.end());
  return Value::Of(value.kind(), std::move(out));
}

absl::StatusOr<Value> Add(Environment& env, const Value& a, const Value& b) {
  if (a.is(Kind::kString) && b.is(Kind::kString)) {
    SHOAL_RETURN_IF_ERROR(env.budget.ChargeBytes(a.text().size() + b.text().size()));
    Text text = a.text();
    text.Append(b.text());
    return Value::String(std::move(text));
  }
  if (a.kind() == b.kind() && (a.is(Kind::kList) || a.is(Kind::kTuple))) {
    std::vector<Value> items = a.sequence().items;
    items.insert(items.end(), b.sequence().items.begin(), b.sequence().items.end());
    SHOAL_RETURN_IF_ERROR(env.budget.Charge(items.size()));
    return Value::Of(a.kind(), std::move(items));
  }
  if (a.is_string() && b.is_string()) {
    SHOAL_ASSIGN_OR_RETURN(Text text, Escaped(env, a));
    SHOAL_ASSIGN_OR_RETURN(const Text right, Escaped(env, b));
    SHOAL_RETURN_IF_ERROR(env.budget.ChargeBytes(text.size() + right.size()));
    text.Append(right);
    return Value::Markup(std::move(text));
  }
  return Mismatch("+", a, b);
}

// The indices that Python's slice takes of `size` items.
absl::StatusOr<std::vector<int64_t>> SliceIndices(int64_t size, std::optional<int64_t> start,
                                                  std::optional<int64_t> stop, int64_t step) {
  if (step == 0) return absl::InvalidArgumentError("slice step cannot be zero");
  const int64_t low = step > 0 ? 0 : -1;
  const int64_t high = step > 0 ? size : size - 1;
  const auto place = [&](int64_t i) {
    return std::clamp(i < 0 ? std::max(i, -size - 1) + size : i, low, high);
  };
  const int64_t begin = start ? place(*start) : step > 0 ? low : high;
  const int64_t end = stop ? place(*stop) : step > 0 ? high : low;
  const int64_t stride = std::clamp(step, -size - 1, size + 1);  // Larger ones take one item too.
  std::vector<int64_t> indices;
  for (int64_t i = begin; stride > 0 ? i < end : i > end; i += stride) indices.push_back(i);
  return indices;
}

}  // namespace

absl::StatusOr<Value> Arithmetic(Environment& env, std::string_view op, const Value& a,
                                 const Value& b) {
  if (a.is_int() && b.is_int()) return IntArithmetic(op, a.as_int(), b.as_int());
  if (a.is_number() && b.is_number()) return FloatArithmetic(op, a.as_float(), b.as_float());
  if (op == "+") return Add(env, a, b);
  const auto repeats = [](const Value& v) {
    return v.is_string() || v.is(Kind::kList) || v.is(Kind::kTuple);
  };
  if (op == "*" && repeats(a) && b.is_int()) return Repeat(env, a, b.as_int());
  if (op == "*" && a.is_int() && repeats(b)) return Repeat(env, b, a.as_int());
  if (op == "%" && a.is_string()) {
    return absl::UnimplementedError("% on a string is not known; use ~");
  }
  return Mismatch(op, a, b);
}

absl::StatusOr<bool> Compare(Environment& env, std::string_view op, const Value& a,
                             const Value& b) {
  if (op == "==") return ChargedEqual(env, a, b);
  if (op == "<") return ChargedLess(env, a, b);
  if (op == ">") return ChargedLess(env, b, a);
  if (op == "in") return Contains(env, b, a);
  if (op == "not in" || op == "!=") {
    SHOAL_ASSIGN_OR_RETURN(const bool yes, Compare(env, op == "!=" ? "==" : "in", a, b));
    return !yes;
  }
  SHOAL_ASSIGN_OR_RETURN(const bool less, ChargedLess(env, op == "<=" ? a : b, op == "<=" ? b : a));
  if (less) return true;
  return ChargedEqual(env, a, b);
}

absl::StatusOr<Value> Negate(const Value& value, bool keep_sign) {
  if (value.is(Kind::kFloat)) return Value::Float(keep_sign ? value.as_float() : -value.as_float());
  if (!value.is_int()) return Mismatch("sign", value, value);
  if (keep_sign) return Value::Int(value.as_int());
  if (value.as_int() == std::numeric_limits<int64_t>::min()) return Overflow();
  return Value::Int(-value.as_int());
}

absl::StatusOr<Value> Slice(Environment& env, const Value& value, std::optional<int64_t> start,
                            std::optional<int64_t> stop, std::optional<int64_t> step) {
  if (value.is_undefined()) return value.UndefinedError();
  if (value.is_string()) {
    SHOAL_RETURN_IF_ERROR(env.budget.Charge(1 + value.text().size() / 16));
    const std::vector<size_t> offsets = CharacterOffsets(value.str());
    const auto size = static_cast<int64_t>(offsets.size()) - 1;
    SHOAL_ASSIGN_OR_RETURN(const std::vector<int64_t> indices,
                           SliceIndices(size, start, stop, step.value_or(1)));
    if (indices.empty()) return value.Alike(Text());
    if (step.value_or(1) == 1) {
      return value.Alike(value.text().Slice(offsets[indices.front()], offsets[indices.back() + 1]));
    }
    SHOAL_RETURN_IF_ERROR(env.budget.Charge(indices.size()));
    Text text;
    for (const int64_t i : indices) {
      text.Append(value.str().substr(offsets[i], offsets[i + 1] - offsets[i]),
                  value.text().IsLiteralAt(offsets[i]));
    }
    return value.Alike(std::move(text));
  }
  if (value.is(Kind::kView)) return absl::UnimplementedError("slicing a view is not known");
  if (!value.is(Kind::kList) && !value.is(Kind::kTuple)) {  // No more than any other item.
    return Value::Undefined(absl::StrCat(value.TypeName(), " object has no such element"));
  }
  const std::vector<Value>& items = value.sequence().items;
  SHOAL_ASSIGN_OR_RETURN(
      const std::vector<int64_t> indices,
      SliceIndices(static_cast<int64_t>(items.size()), start, stop, step.value_or(1)));
  SHOAL_RETURN_IF_ERROR(env.budget.Charge(indices.size()));
  std::vector<Value> out;
  out.reserve(indices.size());
  for (const int64_t i : indices) out.push_back(items[static_cast<size_t>(i)]);
  return Value::Of(value.kind(), std::move(out));
}

}  // namespace shoal::jinja
