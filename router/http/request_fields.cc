#include "router/http/request_fields.h"

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "router/http/api_error.h"

namespace shoal {
namespace {

using Json = nlohmann::ordered_json;

absl::Status WrongType(std::string_view field, const Json& value, std::string_view expected) {
  return FieldError(field,
                    absl::StrCat("expected ", std::string(expected), ", got ", value.type_name()));
}

}  // namespace

absl::StatusOr<bool> ReadBool(std::string_view field, const Json& value) {
  if (!value.is_boolean()) return WrongType(field, value, "true or false");
  return value.get<bool>();
}

absl::StatusOr<std::string> ReadString(std::string_view field, const Json& value) {
  if (!value.is_string()) return WrongType(field, value, "a string");
  return value.get<std::string>();
}

absl::StatusOr<int64_t> ReadInt(std::string_view field, const Json& value, int64_t min,
                                int64_t max) {
  if (!value.is_number_integer()) return WrongType(field, value, "a whole number");
  const bool too_large =
      value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
  if (too_large || value.get<int64_t>() < min || value.get<int64_t>() > max) {
    return FieldError(field, absl::StrCat(value.dump(), " is not in [", min, ", ", max, "]"));
  }
  return value.get<int64_t>();
}

absl::StatusOr<double> ReadNumber(std::string_view field, const Json& value, double min,
                                  double max) {
  if (!value.is_number()) return WrongType(field, value, "a number");
  const double number = value.get<double>();
  if (!(number >= min && number <= max)) {
    return FieldError(field, absl::StrCat(number, " is not in [", min, ", ", max, "]"));
  }
  return number;
}

absl::Status CheckObject(std::string_view field, const Json& value) {
  return value.is_object() ? absl::OkStatus() : WrongType(field, value, "an object");
}

absl::Status CheckArray(std::string_view field, const Json& value, size_t max_size) {
  if (!value.is_array()) return WrongType(field, value, "an array");
  if (value.size() > max_size) {
    return FieldError(field,
                      absl::StrCat(value.size(), " elements, at most ", max_size, " are allowed"));
  }
  return absl::OkStatus();
}

std::string ElementName(std::string_view field, size_t index) {
  return absl::StrCat(std::string(field), "[", index, "]");
}

}  // namespace shoal
