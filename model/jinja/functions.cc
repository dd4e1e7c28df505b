// Functions that every template sees: range, namespace, raise_exception, ...
#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/jinja/builtins.h"

namespace shoal::jinja {
namespace {

using Result = absl::StatusOr<Value>;

constexpr const char* kFunctions[] = {"range", "namespace", "dict", "raise_exception",
                                      "strftime_now"};

Result Range(Environment& env, const Arguments& arguments) {
  SHOAL_ASSIGN_OR_RETURN(const auto bound, Bind("range", arguments, {"start", "stop", "step"}));
  int64_t numbers[3] = {0, 0, 1};
  for (size_t i = 0; i < 3; ++i) {
    if (!bound[i].has_value()) continue;
    if (bound[i]->is_undefined()) return bound[i]->UndefinedError();
    if (!bound[i]->is_int()) return absl::InvalidArgumentError("range needs integers");
    numbers[i] = bound[i]->as_int();
  }
  if (!bound[0].has_value()) return absl::InvalidArgumentError("range lacks an argument");
  const auto [first, second, step] = numbers;
  const int64_t start = bound[1].has_value() ? first : 0;
  const int64_t stop = bound[1].has_value() ? second : first;
  if (step == 0) return absl::InvalidArgumentError("range step cannot be zero");
  std::vector<Value> items;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    SHOAL_RETURN_IF_ERROR(env.budget.Charge(1));
    items.push_back(Value::Int(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value::Of(Kind::kView, std::move(items));
}

Result MakeNamespace(Environment& env, const Arguments& arguments) {
  auto space = std::make_unique<Namespace>();
  for (const Value& value : arguments.positional) {
    if (!value.is_mapping()) return absl::InvalidArgumentError("namespace takes a mapping");
    for (const auto& [key, item] : value.dict().items) {
      if (!key.is_string()) return absl::InvalidArgumentError("namespace needs string keys");
      SHOAL_RETURN_IF_ERROR(env.budget.Charge(1));
      space->attributes.emplace_back(key.text().bytes(), item);
    }
  }
  for (const auto& [name, value] : arguments.named) {
    const auto old = std::find_if(space->attributes.begin(), space->attributes.end(),
                                  [&name = name](const auto& a) { return a.first == name; });
    if (old != space->attributes.end()) {
      old->second = value;
    } else {
      space->attributes.emplace_back(name, value);
    }
  }
  env.spaces.push_back(std::move(space));
  return Value::Of(env.spaces.back().get());
}

Result MakeDict(Environment& env, const Arguments& arguments) {
  Dict dict;
  for (const Value& value : arguments.positional) {
    if (!value.is_mapping() || arguments.positional.size() > 1) {
      return absl::UnimplementedError("dict() of anything but one mapping is not known");
    }
    SHOAL_RETURN_IF_ERROR(env.budget.Charge(value.dict().items.size()));
    dict = value.dict();
  }
  for (const auto& [name, value] : arguments.named) dict.Set(Value::String(name), value);
  return Value::Of(std::move(dict));
}

Result RaiseException(Environment& env, const Arguments& arguments) {
  SHOAL_ASSIGN_OR_RETURN(const auto bound, Bind("raise_exception", arguments, {"message"}));
  SHOAL_ASSIGN_OR_RETURN(const Text message, ToText(env, bound[0].value_or(Value::String(Text()))));
  env.raised = true;
  return absl::InvalidArgumentError(message.bytes());
}

Result StrftimeNow(Environment& env, const Arguments& arguments) {
  SHOAL_ASSIGN_OR_RETURN(const auto bound, Bind("strftime_now", arguments, {"format"}));
  if (!bound[0].has_value() || !bound[0]->is_string()) {
    return absl::InvalidArgumentError("strftime_now needs a format");
  }
  const Text& format = bound[0]->text();
  SHOAL_RETURN_IF_ERROR(env.budget.ChargeBytes(format.size() * 16));
  // Directives on which Python and the C library agree.
  for (size_t i = 0; i < format.size(); ++i) {
    if (format.bytes()[i] != '%') continue;
    const char* known = "aAbBdeFHIjmMpSTyY%";
    if (++i < format.size() && format.bytes()[i] == '-') {
      ++i;
      known = "demMHISjy";
    }
    const char directive = i < format.size() ? format.bytes()[i] : '\0';
    if (directive == '\0' || std::strchr(known, directive) == nullptr) {
      return absl::UnimplementedError(
          absl::StrCat("strftime_now: the directive at byte ", i, " is not known"));
    }
  }
  return Value::String(absl::FormatTime(format.bytes(), env.now, absl::LocalTimeZone()));
}

}  // namespace

const char* FindFunction(std::string_view name) {
  for (const char* function : kFunctions) {
    if (name == function) return function;
  }
  return nullptr;
}

Result CallFunction(Environment& env, std::string_view name, const Arguments& arguments) {
  if (name == "range") return Range(env, arguments);
  if (name == "namespace") return MakeNamespace(env, arguments);
  if (name == "dict") return MakeDict(env, arguments);
  if (name == "raise_exception") return RaiseException(env, arguments);
  return StrftimeNow(env, arguments);
}

}  // namespace shoal::jinja
