#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace shoal {

// A refusal as clients of OpenAI's API know it.
struct ApiError {
  int http_status = 500;
  std::string message;
  std::string type;   // "invalid_request_error" or "server_error".
  std::string param;  // The field at fault; may be empty.
  std::string code;   // May be empty.
};

// InvalidArgument about one field of a request. `param` and `code` reach the client as such;
// `code` may be empty.
absl::Status FieldError(std::string_view param, std::string_view message,
                        std::string_view code = "");

// NotFound with the field, for a model that is not served here.
absl::Status UnknownModelError(std::string_view asked, std::string_view served);

// The HTTP status, type and code that go with `status`. Text of statuses that speak of our insides
// (anything but a refusal of the request itself) is replaced by a general one.
ApiError ToApiError(const absl::Status& status);

// {"error": {"message", "type", "param", "code"}}; absent ones are null.
std::string ErrorBody(const ApiError& error);

}  // namespace shoal
