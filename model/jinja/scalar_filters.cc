// Filters of strings, numbers and any value.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "base/status_macros.h"
#include "model/jinja/filter_arguments.h"
#include "model/jinja/printing.h"
#include "model/jinja/text_functions.h"

namespace shoal::jinja {
namespace {

using Result = absl::StatusOr<Value>;

// --- Strings.

template <Case to>
Result CaseFilter(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_RETURN_IF_ERROR(Bind("the filter", args, {}).status());
  SHOAL_ASSIGN_OR_RETURN(const Text text, ToText(env, input));
  return Value::String(ChangeCase(text, to));
}

Result Trim(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind("trim", args, {"chars"}));
  SHOAL_ASSIGN_OR_RETURN(const Text text, ToText(env, input));
  if (!bound[0].has_value() || bound[0]->is(Kind::kNone)) {
    return Value::String(Strip(text, Side::kBoth));
  }
  if (!bound[0]->is_string()) return WrongInput("trim", *bound[0]);
  const std::string_view chars = bound[0]->str();
  SHOAL_RETURN_IF_ERROR(ChargeSearch(env, text.view(), chars));
  return Value::String(Strip(text, Side::kBoth, &chars));
}

Result ReplaceFilter(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind("replace", args, {"old", "new", "count"}));
  if (!bound[0].has_value() || !bound[1].has_value()) {
    return absl::InvalidArgumentError("replace lacks an argument");
  }
  Arguments texts;
  for (const Value* value : {&input, &*bound[0], &*bound[1]}) {
    SHOAL_ASSIGN_OR_RETURN(Text text, ToText(env, *value));
    texts.positional.push_back(Value::String(std::move(text)));
  }
  const Value text = texts.positional.front();
  texts.positional.erase(texts.positional.begin());
  if (bound[2].has_value() && !bound[2]->is(Kind::kNone)) texts.positional.push_back(*bound[2]);
  SHOAL_ASSIGN_OR_RETURN(const Value method, Value::BoundMethod(text, "replace"));
  return CallMethod(env, method.method(), texts);
}

Result Indent(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind("indent", args, {"width", "first", "blank"}));
  SHOAL_ASSIGN_OR_RETURN(Text text, ToText(env, input));
  Text indent;
  if (bound[0].has_value() && bound[0]->is_string()) {
    indent = bound[0]->text();
  } else {
    SHOAL_ASSIGN_OR_RETURN(const int64_t width, IntArgument("indent", bound[0], 4));
    indent.Append(std::string(static_cast<size_t>(std::clamp<int64_t>(width, 0, 4096)), ' '));
  }
  text.Append("\n");  // So that the last line counts even when it is empty.
  const std::vector<Text> lines = SplitLines(text);
  SHOAL_RETURN_IF_ERROR(env.budget.Charge(lines.size()));
  SHOAL_RETURN_IF_ERROR(env.budget.ChargeBytes(text.size() + lines.size() * indent.size()));
  Text out;
  if (Flag(bound[1])) out.Append(indent);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.Append("\n");
    if (i > 0 && (Flag(bound[2]) || !lines[i].empty())) out.Append(indent);
    out.Append(lines[i]);
  }
  return Value::String(std::move(out));
}

Result String(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_RETURN_IF_ERROR(Bind("string", args, {}).status());
  if (input.is_string()) return input;
  SHOAL_ASSIGN_OR_RETURN(Text text, ToText(env, input));
  return Value::String(std::move(text));
}

Result Escape(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_RETURN_IF_ERROR(Bind("escape", args, {}).status());
  SHOAL_ASSIGN_OR_RETURN(Text text, Escaped(env, input));
  return Value::Markup(std::move(text));
}

Result Safe(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_RETURN_IF_ERROR(Bind("safe", args, {}).status());
  SHOAL_ASSIGN_OR_RETURN(Text text, ToText(env, input));
  return Value::Markup(std::move(text));
}

Result ToJson(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(
      const Bound bound,
      Bind("tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  style.ensure_ascii = Flag(bound[0]);
  style.sort_keys = Flag(bound[3]);
  if (bound[1].has_value() && !bound[1]->is(Kind::kNone)) {
    style.indented = true;
    style.item_separator.assign(1, ',');
    if (bound[1]->is_string()) {
      style.indent = bound[1]->text().bytes();
    } else {
      SHOAL_ASSIGN_OR_RETURN(const int64_t width, IntArgument("tojson", bound[1], 0));
      style.indent.assign(static_cast<size_t>(std::clamp<int64_t>(width, 0, 64)), ' ');
    }
    if (style.indent.size() > 64) return absl::InvalidArgumentError("tojson indents by 64 at most");
  }
  if (bound[2].has_value() && !bound[2]->is(Kind::kNone)) {
    SHOAL_ASSIGN_OR_RETURN(const std::vector<Value> separators, Iterate(env, *bound[2]));
    if (separators.size() != 2 || !separators[0].is_string() || !separators[1].is_string()) {
      return absl::InvalidArgumentError("tojson takes two separators, both strings");
    }
    style.item_separator = separators[0].text().bytes();
    style.key_separator = separators[1].text().bytes();
  }
  // Indentation and separators are written once a value, nested ones with their depth.
  const size_t per_value = 1 + (style.indent.size() * static_cast<size_t>(input.depth()) +
                                style.item_separator.size() + style.key_separator.size()) /
                                   16;
  SHOAL_RETURN_IF_ERROR(env.budget.Charge(static_cast<size_t>(input.weight()) * per_value));
  Text text;
  SHOAL_RETURN_IF_ERROR(AppendJson(input, style, &text));
  SHOAL_RETURN_IF_ERROR(env.budget.ChargeBytes(text.size()));
  return Value::String(std::move(text));
}

// --- Numbers.

// int() of a string in base 10, Python's way: blanks around, underscores between digits.
std::optional<int64_t> ParseInt(const Text& text) {
  const Text stripped = Strip(text, Side::kBoth);
  std::string digits = stripped.bytes();
  digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
  const char* begin = digits.c_str() + (digits[0] == '+' ? 1 : 0);
  const char* end = digits.c_str() + digits.size();
  int64_t value = 0;
  const auto read = std::from_chars(begin, end, value);
  if (begin == end || read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return value;
}

std::optional<double> ParseFloat(const Text& text) {
  const Text stripped = Strip(text, Side::kBoth);
  if (stripped.empty() || stripped.bytes().find_first_of("xXpP") != std::string::npos) {
    return std::nullopt;  // Hexadecimal is C's, not Python's.
  }
  char* end = nullptr;
  const double value = std::strtod(stripped.bytes().c_str(), &end);
  if (*end != '\0' || end != stripped.bytes().c_str() + stripped.size()) return std::nullopt;
  return value;
}

std::optional<int64_t> Truncate(std::optional<double> value) {
  if (!value.has_value() || !(std::abs(*value) < 9.2e18)) return std::nullopt;
  return static_cast<int64_t>(*value);
}

Result Int(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind("int", args, {"default", "base"}));
  SHOAL_ASSIGN_OR_RETURN(const int64_t base, IntArgument("int", bound[1], 10));
  if (base != 10) return absl::UnimplementedError("int in a base other than 10 is not known");
  SHOAL_RETURN_IF_ERROR(env.budget.Charge(static_cast<size_t>(input.weight())));
  std::optional<int64_t> value;
  if (input.is_int()) value = input.as_int();
  if (input.is(Kind::kFloat)) value = Truncate(input.as_float());
  if (input.is_string()) {
    value = ParseInt(input.text());
    if (!value.has_value()) value = Truncate(ParseFloat(input.text()));
  }
  if (input.is_undefined()) return input.UndefinedError();
  return value.has_value() ? Value::Int(*value) : Or(bound[0], Value::Int(0));
}

Result Float(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind("float", args, {"default"}));
  SHOAL_RETURN_IF_ERROR(env.budget.Charge(static_cast<size_t>(input.weight())));
  if (input.is_undefined()) return input.UndefinedError();
  if (input.is_number()) return Value::Float(input.as_float());
  const std::optional<double> value = input.is_string() ? ParseFloat(input.text()) : std::nullopt;
  return value.has_value() ? Value::Float(*value) : Or(bound[0], Value::Float(0));
}

Result Abs(Environment&, const Value& input, const Arguments& args) {
  SHOAL_RETURN_IF_ERROR(Bind("abs", args, {}).status());
  if (input.is(Kind::kFloat)) return Value::Float(std::abs(input.as_float()));
  if (!input.is_int()) return WrongInput("abs", input);
  if (input.as_int() == INT64_MIN) return absl::InvalidArgumentError("abs does not fit 64 bits");
  return Value::Int(std::abs(input.as_int()));
}

Result Round(Environment&, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind("round", args, {"precision", "method"}));
  SHOAL_ASSIGN_OR_RETURN(const int64_t precision, IntArgument("round", bound[0], 0));
  if (!input.is_number()) return WrongInput("round", input);
  if (precision < 0 || precision > 30) {
    return absl::UnimplementedError("round to such a precision is not known");
  }
  std::string_view method = "common";
  if (bound[1].has_value() && bound[1]->is_string()) method = bound[1]->str();
  if (method == "common") {
    if (input.is_int()) return Value::Int(input.as_int());
    char digits[400];  // The decimal expansion rounds half to even, as Python does.
    std::snprintf(digits, sizeof digits, "%.*f", static_cast<int>(precision), input.as_float());
    return Value::Float(std::strtod(digits, nullptr));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil") return Value::Float(std::ceil(input.as_float() * scale) / scale);
  if (method == "floor") return Value::Float(std::floor(input.as_float() * scale) / scale);
  return absl::InvalidArgumentError("round's method is common, ceil or floor");
}

Result Default(Environment&, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind("default", args, {"default_value", "boolean"}));
  if (input.is_undefined() || (Flag(bound[1]) && !input.Truthy())) {
    return Or(bound[0], Value::String(Text()));
  }
  return input;
}

constexpr Builtin kFilters[] = {
    {"abs", Abs},
    {"capitalize", CaseFilter<Case::kCapitalize>},
    {"d", Default},
    {"default", Default},
    {"e", Escape},
    {"escape", Escape},
    {"float", Float},
    {"indent", Indent},
    {"int", Int},
    {"lower", CaseFilter<Case::kLower>},
    {"replace", ReplaceFilter},
    {"round", Round},
    {"safe", Safe},
    {"string", String},
    {"title", CaseFilter<Case::kTitleFilter>},
    {"tojson", ToJson},
    {"trim", Trim},
    {"upper", CaseFilter<Case::kUpper>},
};

}  // namespace

std::span<const Builtin> ScalarFilters() { return kFilters; }

}  // namespace shoal::jinja
