// Filters of lists, dicts and whatever else has items.
#include <algorithm>
#include <charconv>

#include "base/status_macros.h"
#include "model/jinja/filter_arguments.h"
#include "model/jinja/text_functions.h"

namespace shoal::jinja {
namespace {

using Result = absl::StatusOr<Value>;
using Items = std::vector<Value>;

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
  if (input.is(Kind::kGenerator)) return WrongInput("last", input);
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
  if (!input.is_mapping()) return WrongInput("items", input);
  SHOAL_ASSIGN_OR_RETURN(const Value method, Value::BoundMethod(input, "items"));
  SHOAL_ASSIGN_OR_RETURN(const Value view, CallMethod(env, method.method(), {}));
  return Value::Of(Kind::kGenerator, view.sequence().items);
}

// `value` at a path such as "a.b.0".
Result AtPath(Environment& env, Value value, const Value& path) {
  if (path.is_int()) return GetItem(env, value, path);
  if (!path.is_string()) return WrongInput("attribute", path);
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
  items.reserve(keyed.size());
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
  if (!input.is_mapping()) return WrongInput("dictsort", input);
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
    if (!item.is_number() || !total.is_number()) return WrongInput("sum", item);
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
  if (!input.Truthy()) return Value::Of(Kind::kGenerator, Items());  // None too, as in Jinja.
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
  if (!input.Truthy()) return Value::Of(Kind::kGenerator, Items());
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

constexpr Builtin kFilters[] = {
    {"count", LengthFilter},
    {"dictsort", DictSort},
    {"first", First},
    {"items", ItemsFilter},
    {"join", Join},
    {"last", Last},
    {"length", LengthFilter},
    {"list", List},
    {"map", Map},
    {"max", Extreme<true>},
    {"min", Extreme<false>},
    {"reject", Select<false, false>},
    {"rejectattr", Select<false, true>},
    {"reverse", ReverseFilter},
    {"select", Select<true, false>},
    {"selectattr", Select<true, true>},
    {"sort", Sort},
    {"sum", Sum},
    {"unique", Unique},
};

}  // namespace

std::span<const Builtin> ContainerFilters() { return kFilters; }

}  // namespace shoal::jinja
