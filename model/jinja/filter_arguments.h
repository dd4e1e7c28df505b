#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/jinja/builtins.h"

// What the files of filters share.
namespace shoal::jinja {

// Filters of strings, numbers and any value; filters of containers.
std::span<const Builtin> ScalarFilters();
std::span<const Builtin> ContainerFilters();

using Bound = std::vector<std::optional<Value>>;

inline Value Or(const std::optional<Value>& argument, Value fallback) {
  return argument.has_value() ? *argument : std::move(fallback);
}

inline bool Flag(const std::optional<Value>& argument) {
  return argument.has_value() && argument->Truthy();
}

inline absl::Status WrongInput(const char* filter, const Value& got) {
  if (got.is_undefined()) return got.UndefinedError();
  return absl::InvalidArgumentError(
      absl::StrCat("the filter ", filter, " does not take a value of type ", got.TypeName()));
}

inline absl::StatusOr<int64_t> IntArgument(const char* filter, const std::optional<Value>& argument,
                                           int64_t fallback) {
  if (!argument.has_value()) return fallback;
  if (!argument->is_int()) return WrongInput(filter, *argument);
  return argument->as_int();
}

}  // namespace shoal::jinja
