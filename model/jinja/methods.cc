// Methods of strings, dicts, lists and loops.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/jinja/builtins.h"
#include "model/jinja/text_functions.h"
#include "model/utf8.h"

namespace shoal::jinja {
namespace {

using Result = absl::StatusOr<Value>;
using Bound = std::vector<std::optional<Value>>;

absl::Status WrongType(const char* function, const char* wanted, const Value& got) {
  if (got.is_undefined()) return got.UndefinedError();
  return absl::InvalidArgumentError(
      absl::StrCat(function, " needs ", wanted, ", not ", got.TypeName()));
}

// An argument that is a string, or by default none.
absl::StatusOr<const Text*> OptionalText(const char* function, const std::optional<Value>& arg) {
  if (!arg.has_value() || arg->is(Kind::kNone)) return nullptr;
  if (!arg->is_string()) return WrongType(function, "a string", *arg);
  return &arg->text();
}

absl::StatusOr<const Text*> RequiredText(const char* function, const std::optional<Value>& arg) {
  if (!arg.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(function, " lacks an argument"));
  }
  if (!arg->is_string()) return WrongType(function, "a string", *arg);
  return &arg->text();
}

absl::StatusOr<int64_t> OptionalInt(const char* function, const std::optional<Value>& arg,
                                    int64_t fallback) {
  if (!arg.has_value()) return fallback;
  if (!arg->is_int()) return WrongType(function, "an integer", *arg);
  return arg->as_int();
}

Result ListOf(std::vector<Text> texts) {
  std::vector<Value> items;
  items.reserve(texts.size());
  for (Text& text : texts) items.push_back(Value::String(std::move(text)));
  return Value::Of(Kind::kList, std::move(items));
}

Result SplitMethod(Environment& env, const Text& text, const Arguments& args, bool from_right) {
  const char* name = from_right ? "rsplit" : "split";
  SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind(name, args, {"sep", "maxsplit"}));
  SHOAL_ASSIGN_OR_RETURN(const Text* separator, OptionalText(name, bound[0]));
  SHOAL_ASSIGN_OR_RETURN(const int64_t max, OptionalInt(name, bound[1], -1));
  if (separator != nullptr && separator->empty()) {
    return absl::InvalidArgumentError("split by an empty separator");
  }
  SHOAL_RETURN_IF_ERROR(ChargeSearch(env, text.view(), separator ? separator->view() : " "));
  SHOAL_RETURN_IF_ERROR(env.budget.Charge(separator ? CountMatches(text.view(), separator->view())
                                                    : text.size() / 16));
  return ListOf(separator ? Split(text, separator->view(), max, from_right)
                          : SplitWords(text, max, from_right));
}

Result StripMethod(Environment& env, const Text& text, const Arguments& args, const char* name,
                   Side side) {
  SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind(name, args, {"chars"}));
  SHOAL_ASSIGN_OR_RETURN(const Text* chars, OptionalText(name, bound[0]));
  SHOAL_RETURN_IF_ERROR(ChargeSearch(env, text.view(), chars ? chars->view() : " "));
  if (chars == nullptr) return Value::String(Strip(text, side));
  const std::string_view set = chars->view();
  return Value::String(Strip(text, side, &set));
}

bool HasAffix(std::string_view text, std::string_view affix, bool at_start) {
  if (text.size() < affix.size()) return false;
  return text.substr(at_start ? 0 : text.size() - affix.size(), affix.size()) == affix;
}

Result AffixMethod(Environment& env, const Text& text, const Arguments& args, bool at_start) {
  const char* name = at_start ? "startswith" : "endswith";
  SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind(name, args, {"affix"}));
  if (bound[0].has_value() && bound[0]->is(Kind::kTuple)) {
    const std::vector<Value>& any = bound[0]->sequence().items;
    SHOAL_RETURN_IF_ERROR(env.budget.Charge(static_cast<size_t>(bound[0]->weight())));
    for (const Value& affix : any) {
      if (!affix.is_string()) return WrongType(name, "strings", affix);
      if (HasAffix(text.view(), affix.str(), at_start)) return Value::Bool(true);
    }
    return Value::Bool(false);
  }
  SHOAL_ASSIGN_OR_RETURN(const Text* affix, RequiredText(name, bound[0]));
  return Value::Bool(HasAffix(text.view(), affix->view(), at_start));
}

Result RemoveAffixMethod(const Text& text, const Arguments& args, bool at_start) {
  const char* name = at_start ? "removeprefix" : "removesuffix";
  SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind(name, args, {"affix"}));
  SHOAL_ASSIGN_OR_RETURN(const Text* affix, RequiredText(name, bound[0]));
  if (!HasAffix(text.view(), affix->view(), at_start)) return Value::String(text);
  if (at_start) return Value::String(text.Slice(affix->size(), text.size()));
  return Value::String(text.Slice(0, text.size() - affix->size()));
}

Result FindMethod(Environment& env, const Text& text, const Arguments& args, const char* name) {
  SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind(name, args, {"sub"}));
  SHOAL_ASSIGN_OR_RETURN(const Text* needle, RequiredText(name, bound[0]));
  SHOAL_RETURN_IF_ERROR(ChargeSearch(env, text.view(), needle->view()));
  if (std::string_view(name) == "count") {
    if (needle->empty()) return Value::Int(static_cast<int64_t>(CountCodePoints(text.view())) + 1);
    return Value::Int(static_cast<int64_t>(CountMatches(text.view(), needle->view())));
  }
  const bool last = name[0] == 'r';
  const size_t at = last ? text.view().rfind(needle->view()) : text.view().find(needle->view());
  if (at != std::string_view::npos) {
    return Value::Int(static_cast<int64_t>(CountCodePoints(text.view().substr(0, at))));
  }
  if (std::string_view(name) == "index") return absl::InvalidArgumentError("substring not found");
  return Value::Int(-1);
}

Result JoinMethod(Environment& env, const Text& separator, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind("join", args, {"items"}));
  if (!bound[0].has_value()) return absl::InvalidArgumentError("join lacks an argument");
  SHOAL_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(env, *bound[0]));
  Text out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is_string()) return WrongType("join", "strings", items[i]);
    if (i > 0) out.Append(separator);
    out.Append(items[i].text());
    SHOAL_RETURN_IF_ERROR(env.budget.Charge(1 + (separator.size() + items[i].text().size()) / 128));
    if (out.size() > kMaxTextBytes) return env.budget.ChargeBytes(out.size());
  }
  return Value::String(std::move(out));
}

Result ReplaceMethod(Environment& env, const Text& text, const Arguments& args) {
  SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind("replace", args, {"old", "new", "count"}));
  SHOAL_ASSIGN_OR_RETURN(const Text* from, RequiredText("replace", bound[0]));
  SHOAL_ASSIGN_OR_RETURN(const Text* to, RequiredText("replace", bound[1]));
  SHOAL_ASSIGN_OR_RETURN(const int64_t count, OptionalInt("replace", bound[2], -1));
  SHOAL_RETURN_IF_ERROR(ChargeSearch(env, text.view(), from->view()));
  size_t n = from->empty() ? text.size() + 1 : CountMatches(text.view(), from->view());
  if (count >= 0) n = std::min(n, static_cast<size_t>(count));
  SHOAL_RETURN_IF_ERROR(env.budget.Charge(n));
  SHOAL_RETURN_IF_ERROR(env.budget.ChargeBytes(text.size() + n * to->size()));
  return Value::String(Replace(text, from->view(), *to, count));
}

// Tests of a string's characters; false for an empty one.
template <typename Predicate>
Value AllCharacters(const Text& text, Predicate predicate) {
  for (size_t pos = 0; pos < text.size();) {
    const Utf8Step step = ReadUtf8(text.view(), pos);
    if (!predicate(step.code_point)) return Value::Bool(false);
    pos += step.length;
  }
  return Value::Bool(!text.empty());
}

Result StringMethod(Environment& env, const Text& text, std::string_view name,
                    const Arguments& args) {
  SHOAL_RETURN_IF_ERROR(env.budget.ChargeBytes(text.size()));
  if (name == "split") return SplitMethod(env, text, args, false);
  if (name == "rsplit") return SplitMethod(env, text, args, true);
  if (name == "strip") return StripMethod(env, text, args, "strip", Side::kBoth);
  if (name == "lstrip") return StripMethod(env, text, args, "lstrip", Side::kLeft);
  if (name == "rstrip") return StripMethod(env, text, args, "rstrip", Side::kRight);
  if (name == "startswith") return AffixMethod(env, text, args, true);
  if (name == "endswith") return AffixMethod(env, text, args, false);
  if (name == "removeprefix") return RemoveAffixMethod(text, args, true);
  if (name == "removesuffix") return RemoveAffixMethod(text, args, false);
  if (name == "replace") return ReplaceMethod(env, text, args);
  if (name == "join") return JoinMethod(env, text, args);
  for (const char* find : {"find", "rfind", "index", "count"}) {
    if (name == find) return FindMethod(env, text, args, find);
  }
  if (!args.positional.empty() || !args.named.empty()) {
    return absl::UnimplementedError(absl::StrCat("the string method `", std::string(name),
                                                 "` with these arguments is not known"));
  }
  if (name == "upper") return Value::String(ChangeCase(text, Case::kUpper));
  if (name == "lower") return Value::String(ChangeCase(text, Case::kLower));
  if (name == "title") return Value::String(ChangeCase(text, Case::kTitleMethod));
  if (name == "capitalize") return Value::String(ChangeCase(text, Case::kCapitalize));
  if (name == "splitlines") {
    SHOAL_RETURN_IF_ERROR(env.budget.Charge(text.size() / 16));
    return ListOf(SplitLines(text));
  }
  if (name == "isspace") return AllCharacters(text, IsPythonSpace);
  return absl::UnimplementedError(
      absl::StrCat("the string method `", std::string(name), "` is not known"));
}

// Texts that a string's methods give are markup if it is, and what is put to it is escaped.
Result MarkupMethod(Environment& env, const Text& text, std::string_view name,
                    const Arguments& args) {
  if (name == "join") return absl::UnimplementedError("join of escaped text is not known");
  Arguments escaped = args;
  if (name == "replace" && args.positional.size() > 1 && args.positional[1].is_string()) {
    SHOAL_ASSIGN_OR_RETURN(Text to, Escaped(env, args.positional[1]));
    escaped.positional[1] = Value::String(std::move(to));
  }
  SHOAL_ASSIGN_OR_RETURN(const Value plain, StringMethod(env, text, name, escaped));
  if (plain.is_string()) return Value::Markup(plain.text());
  if (!plain.is(Kind::kList)) return plain;
  std::vector<Value> items = plain.sequence().items;
  for (Value& item : items) item = Value::Markup(item.text());
  return Value::Of(Kind::kList, std::move(items));
}

Result DictMethod(Environment& env, const Dict& dict, std::string_view name,
                  const Arguments& args) {
  if (name == "get") {
    SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind("get", args, {"key", "default"}));
    if (!bound[0].has_value()) return absl::InvalidArgumentError("get lacks an argument");
    SHOAL_RETURN_IF_ERROR(env.budget.Charge(bound[0]->is_string() ? 1 : dict.items.size()));
    if (const Value* found = dict.Find(*bound[0])) return *found;
    return bound[1].value_or(Value::None());
  }
  const bool keys = name == "keys";
  const bool values = name == "values";
  if (!keys && !values && name != "items") {
    return absl::InvalidArgumentError(
        absl::StrCat("the dict method `", std::string(name), "` would change its dict"));
  }
  SHOAL_RETURN_IF_ERROR(Bind("the method", args, {}).status());
  SHOAL_RETURN_IF_ERROR(env.budget.Charge(dict.items.size()));
  std::vector<Value> out;
  for (const auto& [key, value] : dict.items) {
    if (keys || values) {
      out.push_back(keys ? key : value);
      continue;
    }
    SHOAL_ASSIGN_OR_RETURN(Value pair, Value::Of(Kind::kTuple, {key, value}));
    out.push_back(std::move(pair));
  }
  return Value::Of(Kind::kView, std::move(out));
}

Result ListMethod(Environment& env, const Value& list, std::string_view name,
                  const Arguments& args) {
  if (name != "index" && name != "count") {
    return absl::InvalidArgumentError(
        absl::StrCat("the list method `", std::string(name), "` would change its list"));
  }
  SHOAL_ASSIGN_OR_RETURN(const Bound bound, Bind("the method", args, {"value"}));
  if (!bound[0].has_value()) return absl::InvalidArgumentError("the method lacks an argument");
  int64_t count = 0;
  const std::vector<Value>& items = list.sequence().items;
  for (size_t i = 0; i < items.size(); ++i) {
    SHOAL_ASSIGN_OR_RETURN(const bool equal, ChargedEqual(env, items[i], *bound[0]));
    if (equal && name == "index") return Value::Int(static_cast<int64_t>(i));
    count += equal;
  }
  if (name == "index") return absl::InvalidArgumentError("value is not in list");
  return Value::Int(count);
}

template <size_t N>
bool IsOneOf(std::string_view name, const std::string_view (&names)[N]) {
  return std::find(names, names + N, name) != names + N;
}

}  // namespace

bool HasMethod(const Value& object, std::string_view name) {
  static constexpr std::string_view kString[] = {
      "capitalize",   "casefold",    "center",    "count",      "encode",       "endswith",
      "expandtabs",   "find",        "format",    "format_map", "index",        "isalnum",
      "isalpha",      "isascii",     "isdecimal", "isdigit",    "isidentifier", "islower",
      "isnumeric",    "isprintable", "isspace",   "istitle",    "isupper",      "join",
      "ljust",        "lower",       "lstrip",    "maketrans",  "partition",    "removeprefix",
      "removesuffix", "replace",     "rfind",     "rindex",     "rjust",        "rpartition",
      "rsplit",       "rstrip",      "split",     "splitlines", "startswith",   "strip",
      "swapcase",     "title",       "translate", "upper",      "zfill"};
  static constexpr std::string_view kDict[] = {"clear",      "copy",   "fromkeys", "get",
                                               "items",      "keys",   "pop",      "popitem",
                                               "setdefault", "update", "values"};
  static constexpr std::string_view kList[] = {"append", "clear",   "copy",   "count",
                                               "extend", "index",   "insert", "pop",
                                               "remove", "reverse", "sort"};
  if (object.is_string()) return IsOneOf(name, kString);
  if (object.is_mapping()) return IsOneOf(name, kDict);
  if (object.is(Kind::kList)) return IsOneOf(name, kList);
  return object.is(Kind::kTuple) && (name == "count" || name == "index");
}

Result CallMethod(Environment& env, const Method& method, const Arguments& arguments) {
  const Value& object = *method.object;
  if (object.is(Kind::kMarkup)) return MarkupMethod(env, object.text(), method.name, arguments);
  if (object.is_string()) return StringMethod(env, object.text(), method.name, arguments);
  if (method.name == "copy" && (object.is_mapping() || object.is(Kind::kList))) {
    SHOAL_RETURN_IF_ERROR(Bind("copy", arguments, {}).status());
    return object;  // Nothing can change it.
  }
  if (object.is_mapping()) return DictMethod(env, object.dict(), method.name, arguments);
  if (object.is(Kind::kLoop)) {  // loop.cycle
    const std::vector<Value>& choices = arguments.positional;
    if (choices.empty()) return absl::InvalidArgumentError("no items for cycling given");
    return choices[object.loop().index % choices.size()];
  }
  return ListMethod(env, object, method.name, arguments);
}

}  // namespace shoal::jinja
