#include "model/jinja/value.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/jinja/budget.h"

namespace shoal::jinja {
namespace {

constexpr size_t kLinearKeys = 8;
constexpr int64_t kMaxWeight = int64_t{1} << 40;

absl::Status CheckDepth(int depth) {
  if (depth <= kMaxNesting) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("a value of the template nests deeper than ", kMaxNesting));
}

bool EqualNumbers(const Value& a, const Value& b) {
  if (a.is_int() && b.is_int()) return a.as_int() == b.as_int();
  return a.as_float() == b.as_float();
}

bool EqualDicts(const Dict& a, const Dict& b) {
  if (a.items.size() != b.items.size()) return false;
  return std::all_of(a.items.begin(), a.items.end(), [&b](const auto& item) {
    const Value* other = b.Find(item.first);
    return other != nullptr && Equal(item.second, *other);
  });
}

}  // namespace

const Value* Dict::Find(std::string_view key) const {
  if (!index_.empty()) {
    const auto found = index_.find(key);
    return found == index_.end() ? nullptr : &items[found->second].second;
  }
  for (const auto& [name, value] : items) {
    if (name.is_string() && name.str() == key) return &value;
  }
  return nullptr;
}

const Value* Dict::Find(const Value& key) const {
  if (key.is_string()) return Find(key.str());
  for (const auto& [name, value] : items) {
    if (Equal(name, key)) return &value;
  }
  return nullptr;
}

void Dict::Set(Value key, Value value) {
  depth = std::max({depth, value.depth() + 1, key.depth() + 1});
  weight = std::min(kMaxWeight, weight + key.weight() + value.weight());
  if (const Value* old = Find(key)) {
    const auto item = std::find_if(items.begin(), items.end(),
                                   [old](const auto& entry) { return &entry.second == old; });
    item->second = std::move(value);
    return;
  }
  items.emplace_back(std::move(key), std::move(value));
  if (items.size() <= kLinearKeys) return;
  for (size_t i = index_.empty() ? 0 : items.size() - 1; i < items.size(); ++i) {
    if (items[i].first.is_string()) index_.emplace(items[i].first.text().bytes(), i);
  }
}

Value Value::Undefined(std::string hint) {
  Value v;
  v.data_ = std::make_shared<const Text>(std::move(hint));
  return v;
}

Value Value::None() {
  Value v;
  v.kind_ = Kind::kNone;
  return v;
}

Value Value::Bool(bool b) {
  Value v;
  v.kind_ = Kind::kBool;
  v.data_ = int64_t{b};
  return v;
}

Value Value::Int(int64_t i) {
  Value v;
  v.kind_ = Kind::kInt;
  v.data_ = i;
  return v;
}

Value Value::Float(double d) {
  Value v;
  v.kind_ = Kind::kFloat;
  v.data_ = d;
  return v;
}

Value Value::String(Text text) {
  Value v;
  v.kind_ = Kind::kString;
  v.data_ = std::make_shared<const Text>(std::move(text));
  return v;
}

Value Value::Markup(Text text) {
  Value v = String(std::move(text));
  v.kind_ = Kind::kMarkup;
  return v;
}

Value Value::Alike(Text text) const {
  return is(Kind::kMarkup) ? Markup(std::move(text)) : String(std::move(text));
}

Value Value::Macro(const Stmt* macro) {
  Value v;
  v.kind_ = Kind::kMacro;
  v.data_ = macro;
  return v;
}

Value Value::Function(const char* name) {
  Value v;
  v.kind_ = Kind::kFunction;
  v.data_ = name;
  return v;
}

Value Value::Of(Namespace* space) {
  Value v;
  v.kind_ = Kind::kNamespace;
  v.data_ = space;
  return v;
}

Value Value::Of(std::shared_ptr<Loop> loop) {
  Value v;
  v.kind_ = Kind::kLoop;
  v.data_ = std::move(loop);
  return v;
}

absl::StatusOr<Value> Value::Of(Kind kind, std::vector<Value> items) {
  auto sequence = std::make_shared<Sequence>();
  for (const Value& item : items) {
    sequence->depth = std::max(sequence->depth, item.depth() + 1);
    sequence->weight = std::min(kMaxWeight, sequence->weight + item.weight());
  }
  SHOAL_RETURN_IF_ERROR(CheckDepth(sequence->depth));
  sequence->items = std::move(items);
  Value v;
  v.kind_ = kind;
  v.data_ = std::move(sequence);
  return v;
}

absl::StatusOr<Value> Value::Of(Dict dict) {
  SHOAL_RETURN_IF_ERROR(CheckDepth(dict.depth));
  Value v;
  v.kind_ = Kind::kDict;
  v.data_ = std::make_shared<const Dict>(std::move(dict));
  return v;
}

absl::StatusOr<Value> Value::BoundMethod(const Value& object, std::string name) {
  SHOAL_RETURN_IF_ERROR(CheckDepth(object.depth() + 1));
  Value v;
  v.kind_ = Kind::kMethod;
  v.data_ = std::make_shared<const Method>(
      Method{std::make_shared<const Value>(object), std::move(name), object.depth() + 1});
  return v;
}

double Value::as_float() const {
  if (kind_ == Kind::kFloat) return std::get<double>(data_);
  return static_cast<double>(as_int());
}

int Value::depth() const {
  switch (kind_) {
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
    case Kind::kGenerator:
      return sequence().depth;
    case Kind::kDict:
      return dict().depth;
    case Kind::kLoop:
      return loop().items->depth + 1;
    case Kind::kMethod:
      return method().depth;
    default:
      return 0;
  }
}

int64_t Value::weight() const {
  if (is_sequence()) return sequence().weight;
  if (is_mapping()) return dict().weight;
  return is_string() ? 1 + static_cast<int64_t>(text().size() / 128) : 1;
}

bool Value::Truthy() const {
  switch (kind_) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return as_int() != 0;
    case Kind::kFloat:
      return as_float() != 0;
    case Kind::kString:
    case Kind::kMarkup:
      return !text().empty();
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
      return !sequence().items.empty();
    case Kind::kDict:
      return !dict().items.empty();
    default:
      return true;
  }
}

absl::Status Value::UndefinedError() const {
  const auto* hint = std::get_if<std::shared_ptr<const Text>>(&data_);
  return absl::InvalidArgumentError(hint == nullptr ? "an undefined value is used"
                                                    : (*hint)->bytes());
}

const char* Value::TypeName() const {
  static constexpr const char* kNames[] = {
      "Undefined", "NoneType",    "bool",  "int",      "float",     "str",
      "Markup",    "list",        "tuple", "view",     "generator", "dict",
      "Namespace", "LoopContext", "Macro", "function", "method"};
  return kNames[static_cast<size_t>(kind_)];
}

bool Equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return EqualNumbers(a, b);
  if (a.is_string() && b.is_string()) return a.str() == b.str();
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
      return std::equal(a.sequence().items.begin(), a.sequence().items.end(),
                        b.sequence().items.begin(), b.sequence().items.end(), Equal);
    case Kind::kGenerator:
      return &a.sequence() == &b.sequence();
    case Kind::kDict:
      return EqualDicts(a.dict(), b.dict());
    case Kind::kNamespace:
      return &a.space() == &b.space();
    case Kind::kMacro:
      return &a.macro() == &b.macro();
    default:
      return false;
  }
}

absl::StatusOr<bool> Less(const Value& a, const Value& b) {
  if (a.is_undefined()) return a.UndefinedError();
  if (b.is_undefined()) return b.UndefinedError();
  if (a.is_int() && b.is_int()) return a.as_int() < b.as_int();
  if (a.is_number() && b.is_number()) return a.as_float() < b.as_float();
  if (a.is_string() && b.is_string()) return a.str() < b.str();
  if (a.kind() == b.kind() && (a.is(Kind::kList) || a.is(Kind::kTuple))) {
    const auto& x = a.sequence().items;
    const auto& y = b.sequence().items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!Equal(x[i], y[i])) return Less(x[i], y[i]);
    }
    return x.size() < y.size();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", a.TypeName(), "' and '", b.TypeName(), "' have no order"));
}

}  // namespace shoal::jinja
