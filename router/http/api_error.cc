#include "router/http/api_error.h"

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "engine/expert_executor.h"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

constexpr char kParamPayload[] = "shoal/param";
constexpr char kCodePayload[] = "shoal/code";

std::string Payload(const absl::Status& status, const char* name) {
  const auto payload = status.GetPayload(name);
  return payload.has_value() ? std::string(*payload) : std::string();
}

}  // namespace

absl::Status FieldError(std::string_view param, std::string_view message, std::string_view code) {
  absl::Status status = absl::InvalidArgumentError(
      absl::StrCat(std::string(param), param.empty() ? "" : ": ", std::string(message)));
  status.SetPayload(kParamPayload, absl::Cord(std::string(param)));
  if (!code.empty()) status.SetPayload(kCodePayload, absl::Cord(std::string(code)));
  return status;
}

absl::Status UnknownModelError(std::string_view asked, std::string_view served) {
  absl::Status status = absl::NotFoundError(
      absl::StrCat("model ", Quoted(asked),
                   " is not served here; GET /v1/models lists what is: ", Quoted(served)));
  status.SetPayload(kParamPayload, absl::Cord("model"));
  status.SetPayload(kCodePayload, absl::Cord("model_not_found"));
  return status;
}

ApiError ToApiError(const absl::Status& status) {
  ApiError error;
  error.param = Payload(status, kParamPayload);
  error.code = Payload(status, kCodePayload);
  error.message = std::string(status.message());
  error.type = "server_error";
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      error.http_status = 400;
      error.type = "invalid_request_error";
      return error;
    case absl::StatusCode::kNotFound:
      error.http_status = 404;
      error.type = "invalid_request_error";
      return error;
    case absl::StatusCode::kResourceExhausted:
      error.http_status = 503;
      error.code = "overloaded";
      error.message = "too many requests are waiting; try again in a moment";
      return error;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
      error.http_status = 503;
      error.code = absl::StartsWith(status.message(), kExpertUnavailable) ? kExpertUnavailable
                                                                          : "unavailable";
      error.message = "a part of the model cannot be reached at the moment; try again";
      return error;
    default:
      error.http_status = 500;
      error.code = "internal";
      error.message = "the answer failed inside the server; its log says why";
      return error;
  }
}

std::string ErrorBody(const ApiError& error) {
  using Json = nlohmann::ordered_json;
  const auto text_or_null = [](const std::string& text) {
    return text.empty() ? Json(nullptr) : Json(text);
  };
  Json body;
  body["error"] = {{"message", error.message},
                   {"type", error.type},
                   {"param", text_or_null(error.param)},
                   {"code", text_or_null(error.code)}};
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace shoal
