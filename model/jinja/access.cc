// What the interpreter and the builtins ask of values: attributes, items, length, comparison.
#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/jinja/builtins.h"
#include "model/jinja/printing.h"
#include "model/jinja/text_functions.h"
#include "model/utf8.h"

namespace shoal::jinja {
namespace {

Value NoAttribute(const Value& object, std::string_view name) {
  return Value::Undefined(
      absl::StrCat("'", object.TypeName(), " object' has no attribute '", std::string(name), "'"));
}

absl::StatusOr<Value> LoopAttribute(const Value& object, std::string_view name) {
  const Loop& loop = object.loop();
  const auto& items = loop.items->items;
  const auto index = static_cast<int64_t>(loop.index);
  const auto length = static_cast<int64_t>(items.size());
  if (name == "index") return Value::Int(index + 1);
  if (name == "index0") return Value::Int(index);
  if (name == "first") return Value::Bool(index == 0);
  if (name == "last") return Value::Bool(index + 1 == length);
  if (name == "length") return Value::Int(length);
  if (name == "revindex") return Value::Int(length - index);
  if (name == "revindex0") return Value::Int(length - index - 1);
  if (name == "depth") return Value::Int(1);
  if (name == "depth0") return Value::Int(0);
  if (name == "previtem") {
    return index > 0 ? items[loop.index - 1] : Value::Undefined("there is no previous item");
  }
  if (name == "nextitem") {
    return index + 1 < length ? items[loop.index + 1] : Value::Undefined("there is no next item");
  }
  if (name == "cycle") return Value::BoundMethod(object, "cycle");
  if (name == "changed") return absl::UnimplementedError("loop.changed is not known");
  return NoAttribute(object, name);
}

// An entry of a namespace or a dict, or the item at an index, or null.
const Value* FindEntry(const Value& object, const Value& key) {
  if (object.is_mapping()) return object.dict().Find(key);
  if (object.is(Kind::kNamespace) && key.is_string()) {
    for (const auto& [name, value] : object.space().attributes) {
      if (name == key.str()) return &value;
    }
    return nullptr;
  }
  const bool indexable =
      object.is(Kind::kList) || object.is(Kind::kTuple) || object.is(Kind::kView);
  if (!indexable || !key.is_int()) return nullptr;
  const auto& items = object.sequence().items;
  const auto size = static_cast<int64_t>(items.size());
  const int64_t index = key.as_int() < 0 ? key.as_int() + size : key.as_int();
  return index >= 0 && index < size ? &items[static_cast<size_t>(index)] : nullptr;
}

absl::StatusOr<Value> CharacterAt(Environment& env, const Value& text, int64_t index) {
  SHOAL_RETURN_IF_ERROR(env.budget.ChargeBytes(text.text().size()));
  const std::vector<size_t> offsets = CharacterOffsets(text.str());
  const auto size = static_cast<int64_t>(offsets.size()) - 1;
  if (index < 0) index += size;
  if (index < 0 || index >= size) return Value::Undefined("str object has no such element");
  return text.Alike(text.text().Slice(offsets[index], offsets[index + 1]));
}

}  // namespace

absl::StatusOr<Value> GetAttribute(Environment& env, const Value& object, std::string_view name) {
  if (object.is_undefined()) return object.UndefinedError();
  if (name.substr(0, 2) == "__") {
    return absl::InvalidArgumentError("access to an attribute that begins with __ is unsafe");
  }
  if (object.is(Kind::kLoop)) return LoopAttribute(object, name);
  if (HasMethod(object, name)) return Value::BoundMethod(object, std::string(name));
  return GetItem(env, object, Value::String(std::string(name)));
}

absl::StatusOr<Value> GetItem(Environment& env, const Value& object, const Value& key) {
  if (object.is_undefined()) return object.UndefinedError();
  if (object.is_string() && key.is_int()) return CharacterAt(env, object, key.as_int());
  if (object.is_mapping() && !key.is_string()) {
    SHOAL_RETURN_IF_ERROR(env.budget.Charge(object.dict().items.size()));
  }
  if (const Value* found = FindEntry(object, key)) return *found;
  if (key.is_string()) {
    if (object.is(Kind::kLoop)) return LoopAttribute(object, key.str());
    if (HasMethod(object, key.str())) return Value::BoundMethod(object, key.text().bytes());
    return NoAttribute(object, key.str().substr(0, 64));
  }
  return Value::Undefined(absl::StrCat(object.TypeName(), " object has no such element"));
}

absl::StatusOr<Text> Escaped(Environment& env, const Value& value) {
  SHOAL_ASSIGN_OR_RETURN(Text text, ToText(env, value));
  if (value.is(Kind::kMarkup)) return text;
  SHOAL_RETURN_IF_ERROR(env.budget.ChargeBytes(text.size() * 5));
  return EscapeHtml(text);
}

absl::StatusOr<std::vector<Value>> Iterate(Environment& env, const Value& value) {
  std::vector<Value> items;
  switch (value.kind()) {
    case Kind::kUndefined:
      return items;
    case Kind::kString:
    case Kind::kMarkup: {
      const std::vector<size_t> offsets = CharacterOffsets(value.str());
      SHOAL_RETURN_IF_ERROR(env.budget.Charge(offsets.size()));
      for (size_t i = 0; i + 1 < offsets.size(); ++i) {
        items.push_back(Value::String(value.text().Slice(offsets[i], offsets[i + 1])));
      }
      return items;
    }
    case Kind::kDict:
      SHOAL_RETURN_IF_ERROR(env.budget.Charge(value.dict().items.size()));
      items.reserve(value.dict().items.size());
      for (const auto& item : value.dict().items) items.push_back(item.first);
      return items;
    case Kind::kGenerator: {
      Sequence& generator = value.sequence();
      items.assign(generator.items.begin() + static_cast<std::ptrdiff_t>(generator.next),
                   generator.items.end());
      generator.next = generator.items.size();
      SHOAL_RETURN_IF_ERROR(env.budget.Charge(items.size()));
      return items;
    }
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
      SHOAL_RETURN_IF_ERROR(env.budget.Charge(value.sequence().items.size()));
      return value.sequence().items;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("a value of type ", value.TypeName(), " is not iterable"));
  }
}

absl::StatusOr<int64_t> Length(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
    case Kind::kMarkup:
      return static_cast<int64_t>(CountCodePoints(value.str()));
    case Kind::kDict:
      return static_cast<int64_t>(value.dict().items.size());
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
      return static_cast<int64_t>(value.sequence().items.size());
    case Kind::kLoop:
      return static_cast<int64_t>(value.loop().items->items.size());
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("a value of type ", value.TypeName(), " has no length"));
  }
}

absl::StatusOr<Text> ToText(Environment& env, const Value& value) {
  SHOAL_RETURN_IF_ERROR(env.budget.Charge(static_cast<size_t>(value.weight())));
  Text text;
  SHOAL_RETURN_IF_ERROR(AppendStr(value, &text));
  SHOAL_RETURN_IF_ERROR(env.budget.ChargeBytes(text.size()));
  return text;
}

absl::Status ChargeSearch(Environment& env, std::string_view text, std::string_view needle) {
  return env.budget.Charge(1 + text.size() / 128 + text.size() * needle.size() / 1024);
}

absl::StatusOr<bool> Contains(Environment& env, const Value& container, const Value& item) {
  if (container.is_undefined()) return false;
  if (container.is_string()) {
    if (item.is_undefined()) return item.UndefinedError();
    if (!item.is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'in <string>' requires a string, not ", item.TypeName()));
    }
    SHOAL_RETURN_IF_ERROR(ChargeSearch(env, container.str(), item.str()));
    return container.str().find(item.str()) != std::string_view::npos;
  }
  if (container.is_mapping()) {
    SHOAL_RETURN_IF_ERROR(env.budget.Charge(item.is_string() ? 1 : container.dict().items.size()));
    return container.dict().Find(item) != nullptr;
  }
  SHOAL_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(env, container));
  for (const Value& other : items) {
    SHOAL_ASSIGN_OR_RETURN(const bool equal, ChargedEqual(env, other, item));
    if (equal) return true;
  }
  return false;
}

absl::StatusOr<bool> ChargedEqual(Environment& env, const Value& a, const Value& b) {
  SHOAL_RETURN_IF_ERROR(env.budget.Charge(static_cast<size_t>(std::min(a.weight(), b.weight()))));
  return Equal(a, b);
}

absl::StatusOr<bool> ChargedLess(Environment& env, const Value& a, const Value& b) {
  SHOAL_RETURN_IF_ERROR(env.budget.Charge(static_cast<size_t>(std::min(a.weight(), b.weight()))));
  return Less(a, b);
}

absl::StatusOr<std::vector<std::optional<Value>>> Bind(const char* function,
                                                       const Arguments& arguments,
                                                       std::vector<std::string_view> parameters) {
  if (arguments.positional.size() > parameters.size()) {
    return absl::InvalidArgumentError(absl::StrCat(function, " takes ", parameters.size(),
                                                   " arguments at most, not ",
                                                   arguments.positional.size()));
  }
  std::vector<std::optional<Value>> bound(parameters.size());
  std::copy(arguments.positional.begin(), arguments.positional.end(), bound.begin());
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(parameters.begin(), parameters.end(), name);
    if (found == parameters.end()) {
      return absl::InvalidArgumentError(absl::StrCat(function, " has no argument '", name, "'"));
    }
    std::optional<Value>& slot = bound[static_cast<size_t>(found - parameters.begin())];
    if (slot.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat(function, " got its argument '", name, "' twice"));
    }
    slot = value;
  }
  return bound;
}

}  // namespace shoal::jinja
