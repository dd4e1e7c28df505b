#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "model/jinja/builtins.h"

namespace shoal::jinja {

// Python's + - * / // % **. InvalidArgument for types that do not fit, for a zero divisor and where
// an integer would leave 64 bits.
absl::StatusOr<Value> Arithmetic(Environment& env, std::string_view op, const Value& a,
                                 const Value& b);
// Python's == != < > <= >= in, not in. InvalidArgument for types that have no order or no members.
absl::StatusOr<bool> Compare(Environment& env, std::string_view op, const Value& a, const Value& b);
// -value, or +value.
absl::StatusOr<Value> Negate(const Value& value, bool keep_sign);
// value[start:stop:step] of a string (by characters), list or tuple; of others undefined.
absl::StatusOr<Value> Slice(Environment& env, const Value& value, std::optional<int64_t> start,
                            std::optional<int64_t> stop, std::optional<int64_t> step);

}  // namespace shoal::jinja
