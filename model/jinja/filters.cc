#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/jinja/builtins.h"
#include "model/jinja/printing.h"
#include "model/jinja/text_functions.h"

namespace shoal::jinja {
namespace {

using Result = absl::StatusOr<Value>;
using Bound = std::vector<std::optional<Value>>;
using Items = std::vector<Value>;

Value Or(const std::optional<Value>& argument, Value fallback) {
  return argument.has_value() ? *argument : std::move(fallback);
}

bool Flag(const std::optional<Value>& argument) {
  return argument.has_value() && argument->Truthy();
}

absl::Status WrongType(const char* filter, const Value& got) {
  if (got.is_undefined()) return got.UndefinedError();
  return absl::InvalidArgumentError(
      absl::StrCat("the filter ", filter, " does not take a value of type ", got.TypeName()));
}

absl::StatusOr<int64_t> IntArgument(const char* filter, const std::optional<Value>& argument,
                                    int64_t fallback) {
  if (!argument.has_value()) return fallback;
  if (!argument->is_int()) return WrongType(filter, *argument);
  return argument->as_int();
}

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
  if (!bound[0]->is_string()) return WrongType("trim", *bound[0]);
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
  if (input.is(Kind::kMarkup)) return input;
  SHOAL_ASSIGN_OR_RETURN(const Text text, ToText(env, input));
  SHOAL_RETURN_IF_ERROR(env.budget.ChargeBytes(text.size() * 5));
  return Value::Markup(EscapeHtml(text));
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
    SHOAL_ASSIGN_OR_RETURN(const Items separators, Iterate(env, *bound[2]));
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
  if (!input.is_int()) return WrongType("abs", input);
  if (input.as_int() == INT64_MIN) return absl::InvalidArgumentError("abs does not fit 64 bits");
  return Value::Int(std::abs(input.as_int()));
}

Result Round(Environment&, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind("round", args, {"precision", "method"}));
  SHOAL_ASSIGN_OR_RETURN(const int64_t precision, IntArgument("round", bound[0], 0));
  if (!input.is_number()) return WrongType("round", input);
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

// --- Containers.

Result LengthFilter(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_RETURN_IF_ERROR(Bind("length", args, {}).status());
  if (input.is_string()) SHOAL_RETURN_IF_ERROR(env.budget.ChargeBytes(input.text().size()));
  SHOAL_ASSIGN_OR_RETURN(const int64_t length, Length(input));
  return Value::Int(length);
}

Result First(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_RETURN_IF_ERROR(Bind("first", args, {}).status());
  if (input.is(Kind::kGenerator)) {  // Takes one and leaves the rest.
    Sequence& generator = input.sequence();
    if (generator.next < generator.items.size()) return generator.items[generator.next++];
    return Value::Undefined("No first item, sequence was empty.");
  }
  SHOAL_ASSIGN_OR_RETURN(const Items items, Iterate(env, input));
  if (items.empty()) return Value::Undefined("No first item, sequence was empty.");
  return items.front();
}

Result Last(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_RETURN_IF_ERROR(Bind("last", args, {}).status());
  if (input.is(Kind::kGenerator)) return WrongType("last", input);
  SHOAL_ASSIGN_OR_RETURN(const Items items, Iterate(env, input));
  if (items.empty()) return Value::Undefined("No last item, sequence was empty.");
  return items.back();
}

Result List(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_RETURN_IF_ERROR(Bind("list", args, {}).status());
  SHOAL_ASSIGN_OR_RETURN(Items items, Iterate(env, input));
  return Value::Of(Kind::kList, std::move(items));
}

Result ReverseFilter(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_RETURN_IF_ERROR(Bind("reverse", args, {}).status());
  if (input.is_undefined()) return input.UndefinedError();
  SHOAL_ASSIGN_OR_RETURN(Items items, Iterate(env, input));
  std::reverse(items.begin(), items.end());
  if (!input.is_string()) return Value::Of(Kind::kGenerator, std::move(items));
  Text text;
  for (const Value& item : items) text.Append(item.text());
  return Value::String(std::move(text));
}

Result ItemsFilter(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_RETURN_IF_ERROR(Bind("items", args, {}).status());
  if (input.is_undefined()) return Value::Of(Kind::kGenerator, {});
  if (!input.is_mapping()) return WrongType("items", input);
  SHOAL_ASSIGN_OR_RETURN(const Value method, Value::BoundMethod(input, "items"));
  SHOAL_ASSIGN_OR_RETURN(const Value view, CallMethod(env, method.method(), {}));
  return Value::Of(Kind::kGenerator, view.sequence().items);
}

// `value` at a path such as "a.b.0".
Result AtPath(Environment& env, Value value, const Value& path) {
  if (path.is_int()) return GetItem(env, value, path);
  if (!path.is_string()) return WrongType("attribute", path);
  for (const Text& part : Split(path.text(), ".", -1, false)) {
    const std::string& name = part.bytes();
    int64_t index = 0;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), index);
    const bool digits = !name.empty() && name[0] != '-' && read.ec == std::errc() &&
                        read.ptr == name.data() + name.size();
    SHOAL_ASSIGN_OR_RETURN(value,
                           GetItem(env, value, digits ? Value::Int(index) : Value::String(part)));
  }
  return value;
}

Result Join(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind("join", args, {"d", "attribute"}));
  SHOAL_ASSIGN_OR_RETURN(const Items items, Iterate(env, input));
  SHOAL_ASSIGN_OR_RETURN(const Text separator, ToText(env, Or(bound[0], Value::String(Text()))));
  Text out;
  for (size_t i = 0; i < items.size(); ++i) {
    Value item = items[i];
    if (bound[1].has_value() && !bound[1]->is(Kind::kNone)) {
      SHOAL_ASSIGN_OR_RETURN(item, AtPath(env, item, *bound[1]));
    }
    if (i > 0) out.Append(separator);
    SHOAL_ASSIGN_OR_RETURN(const Text text, ToText(env, item));
    out.Append(text);
    SHOAL_RETURN_IF_ERROR(env.budget.Charge(1 + separator.size() / 128));
    if (out.size() > kMaxTextBytes) return env.budget.ChargeBytes(out.size());
  }
  return Value::String(std::move(out));
}

// What an item is sorted and compared by: its attribute, letters in lower case.
Result SortKey(Environment& env, const Value& item, const std::optional<Value>& attribute,
               bool case_sensitive) {
  Value key = item;
  if (attribute.has_value() && !attribute->is(Kind::kNone)) {
    if (attribute->is_string() && attribute->str().find(',') != std::string_view::npos) {
      return absl::UnimplementedError("sorting by several attributes is not known");
    }
    SHOAL_ASSIGN_OR_RETURN(key, AtPath(env, item, *attribute));
  }
  if (case_sensitive || !key.is_string()) return key;
  SHOAL_RETURN_IF_ERROR(env.budget.ChargeBytes(key.text().size()));
  return Value::String(ChangeCase(key.text(), Case::kLower));
}

using Keyed = std::pair<Value, Value>;  // Key, item.

absl::StatusOr<std::vector<Keyed>> WithKeys(Environment& env, const Value& input,
                                            const std::optional<Value>& attribute,
                                            bool case_sensitive) {
  SHOAL_ASSIGN_OR_RETURN(const Items items, Iterate(env, input));
  std::vector<Keyed> keyed;
  for (const Value& item : items) {
    SHOAL_ASSIGN_OR_RETURN(Value key, SortKey(env, item, attribute, case_sensitive));
    keyed.emplace_back(std::move(key), item);
  }
  return keyed;
}

// Stable. The first error of a comparison is the result.
absl::Status SortByKey(Environment& env, std::vector<Keyed>* keyed, bool reverse) {
  // Merging by hand: std::sort may run past the ends when an order fails half-way.
  for (size_t width = 1; width < keyed->size(); width *= 2) {
    std::vector<Keyed> merged;
    for (size_t begin = 0; begin < keyed->size(); begin += 2 * width) {
      const size_t middle = std::min(begin + width, keyed->size());
      const size_t end = std::min(begin + 2 * width, keyed->size());
      size_t a = begin;
      size_t b = middle;
      while (a < middle && b < end) {
        const Value& left = (*keyed)[a].first;
        const Value& right = (*keyed)[b].first;
        SHOAL_ASSIGN_OR_RETURN(const bool swap, reverse ? ChargedLess(env, left, right)
                                                        : ChargedLess(env, right, left));
        merged.push_back((*keyed)[swap ? b++ : a++]);
      }
      merged.insert(merged.end(), keyed->begin() + static_cast<std::ptrdiff_t>(a),
                    keyed->begin() + static_cast<std::ptrdiff_t>(middle));
      merged.insert(merged.end(), keyed->begin() + static_cast<std::ptrdiff_t>(b),
                    keyed->begin() + static_cast<std::ptrdiff_t>(end));
    }
    *keyed = std::move(merged);
  }
  return absl::OkStatus();
}

Result ItemsOf(std::vector<Keyed> keyed, Kind kind) {
  Items items;
  for (Keyed& entry : keyed) items.push_back(std::move(entry.second));
  return Value::Of(kind, std::move(items));
}

Result Sort(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Bound bound,
                         Bind("sort", args, {"reverse", "case_sensitive", "attribute"}));
  SHOAL_ASSIGN_OR_RETURN(std::vector<Keyed> keyed, WithKeys(env, input, bound[2], Flag(bound[1])));
  SHOAL_RETURN_IF_ERROR(SortByKey(env, &keyed, Flag(bound[0])));
  return ItemsOf(std::move(keyed), Kind::kList);
}

Result DictSort(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Bound bound,
                         Bind("dictsort", args, {"case_sensitive", "by", "reverse"}));
  if (!input.is_mapping()) return WrongType("dictsort", input);
  const bool by_value = bound[1].has_value() && bound[1]->is_string() && bound[1]->str() == "value";
  SHOAL_ASSIGN_OR_RETURN(const Value pairs, ItemsFilter(env, input, {}));
  SHOAL_ASSIGN_OR_RETURN(std::vector<Keyed> keyed,
                         WithKeys(env, pairs, Value::Int(by_value ? 1 : 0), Flag(bound[0])));
  SHOAL_RETURN_IF_ERROR(SortByKey(env, &keyed, Flag(bound[2])));
  return ItemsOf(std::move(keyed), Kind::kList);
}

Result Unique(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind("unique", args, {"case_sensitive", "attribute"}));
  SHOAL_ASSIGN_OR_RETURN(const std::vector<Keyed> keyed,
                         WithKeys(env, input, bound[1], Flag(bound[0])));
  std::vector<Keyed> kept;
  for (const Keyed& entry : keyed) {
    bool seen = false;
    for (size_t i = 0; i < kept.size() && !seen; ++i) {
      SHOAL_ASSIGN_OR_RETURN(seen, ChargedEqual(env, kept[i].first, entry.first));
    }
    if (!seen) kept.push_back(entry);
  }
  return ItemsOf(std::move(kept), Kind::kGenerator);
}

template <bool want_max>
Result Extreme(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Bound bound,
                         Bind("min and max", args, {"case_sensitive", "attribute"}));
  SHOAL_ASSIGN_OR_RETURN(const std::vector<Keyed> keyed,
                         WithKeys(env, input, bound[1], Flag(bound[0])));
  if (keyed.empty()) return Value::Undefined("No aggregated item, sequence was empty.");
  size_t best = 0;
  for (size_t i = 1; i < keyed.size(); ++i) {
    SHOAL_ASSIGN_OR_RETURN(const bool better,
                           want_max ? ChargedLess(env, keyed[best].first, keyed[i].first)
                                    : ChargedLess(env, keyed[i].first, keyed[best].first));
    if (better) best = i;
  }
  return keyed[best].second;
}

Result Sum(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind("sum", args, {"attribute", "start"}));
  SHOAL_ASSIGN_OR_RETURN(const Items items, Iterate(env, input));
  Value total = Or(bound[1], Value::Int(0));
  for (Value item : items) {
    if (bound[0].has_value() && !bound[0]->is(Kind::kNone)) {
      SHOAL_ASSIGN_OR_RETURN(item, AtPath(env, item, *bound[0]));
    }
    if (!item.is_number() || !total.is_number()) return WrongType("sum", item);
    if (total.is_int() && item.is_int()) {
      int64_t sum = 0;
      if (__builtin_add_overflow(total.as_int(), item.as_int(), &sum)) {
        return absl::InvalidArgumentError("sum does not fit 64 bits");
      }
      total = Value::Int(sum);
    } else {
      total = Value::Float(total.as_float() + item.as_float());
    }
  }
  return total;
}

Result Map(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(Items items, Iterate(env, input));
  if (args.positional.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind("map", args, {"attribute", "default"}));
    if (!bound[0].has_value()) return absl::InvalidArgumentError("map lacks a filter");
    for (Value& item : items) {
      SHOAL_ASSIGN_OR_RETURN(item, AtPath(env, item, *bound[0]));
      if (item.is_undefined()) item = Or(bound[1], item);
    }
    return Value::Of(Kind::kGenerator, std::move(items));
  }
  const Value& name = args.positional[0];
  const Builtin* filter = name.is_string() ? FindFilter(name.str()) : nullptr;
  if (filter == nullptr) return absl::UnimplementedError("map with such a filter is not known");
  Arguments rest = args;
  rest.positional.erase(rest.positional.begin());
  for (Value& item : items) {
    SHOAL_RETURN_IF_ERROR(env.budget.Charge(1));
    SHOAL_ASSIGN_OR_RETURN(item, filter->fn(env, item, rest));
  }
  return Value::Of(Kind::kGenerator, std::move(items));
}

// select, reject and their attribute forms: keeps the items whose test gives `wanted`.
template <bool wanted, bool by_attribute>
Result Select(Environment& env, const Value& input, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Items items, Iterate(env, input));
  Arguments rest = args;
  Value path;
  if (by_attribute) {
    if (rest.positional.empty())
      return absl::InvalidArgumentError("an attribute's name is missing");
    path = rest.positional[0];
    rest.positional.erase(rest.positional.begin());
  }
  const Builtin* test = nullptr;
  if (!rest.positional.empty()) {
    const Value& name = rest.positional[0];
    test = name.is_string() ? FindTest(name.str()) : nullptr;
    if (test == nullptr) return absl::UnimplementedError("selecting by such a test is not known");
    rest.positional.erase(rest.positional.begin());
  }
  Items kept;
  for (const Value& item : items) {
    SHOAL_RETURN_IF_ERROR(env.budget.Charge(1));
    Value value = item;
    if (by_attribute) {
      SHOAL_ASSIGN_OR_RETURN(value, AtPath(env, item, path));
    }
    if (test != nullptr) {
      SHOAL_ASSIGN_OR_RETURN(value, test->fn(env, value, rest));
    }
    if (value.Truthy() == wanted) kept.push_back(item);
  }
  return Value::Of(Kind::kGenerator, std::move(kept));
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
    {"count", LengthFilter},
    {"d", Default},
    {"default", Default},
    {"dictsort", DictSort},
    {"e", Escape},
    {"escape", Escape},
    {"first", First},
    {"float", Float},
    {"indent", Indent},
    {"int", Int},
    {"items", ItemsFilter},
    {"join", Join},
    {"last", Last},
    {"length", LengthFilter},
    {"list", List},
    {"lower", CaseFilter<Case::kLower>},
    {"map", Map},
    {"max", Extreme<true>},
    {"min", Extreme<false>},
    {"reject", Select<false, false>},
    {"rejectattr", Select<false, true>},
    {"replace", ReplaceFilter},
    {"reverse", ReverseFilter},
    {"round", Round},
    {"safe", Safe},
    {"select", Select<true, false>},
    {"selectattr", Select<true, true>},
    {"sort", Sort},
    {"string", String},
    {"sum", Sum},
    {"title", CaseFilter<Case::kTitleFilter>},
    {"tojson", ToJson},
    {"trim", Trim},
    {"unique", Unique},
    {"upper", CaseFilter<Case::kUpper>},
};

}  // namespace

const Builtin* FindFilter(std::string_view name) {
  for (const Builtin& filter : kFilters) {
    if (name == filter.name) return &filter;
  }
  return nullptr;
}

}  // namespace shoal::jinja
