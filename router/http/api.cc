#include "router/http/api.h"

#include <random>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"

namespace shoal {
namespace {

using Reply = std::variant<HttpReply, CompletionReply>;

constexpr std::string_view kModelsPath = "/v1/models/";

HttpReply PlainReply(int status, std::string text) {
  return {.status = status, .content_type = "text/plain", .body = std::move(text), .fields = {}};
}

Reply ToReply(absl::StatusOr<CompletionReply> reply) {
  if (!reply.ok()) return ErrorReply(reply.status());
  return *std::move(reply);
}

Reply ToReply(absl::StatusOr<std::string> json) {
  if (!json.ok()) return ErrorReply(json.status());
  HttpReply reply;
  reply.body = *std::move(json);
  return reply;
}

// "GET" or "POST" for a path that exists, else empty.
std::string_view MethodOf(std::string_view path) {
  if (path == "/v1/chat/completions" || path == "/v1/completions") return "POST";
  if (path == "/v1/models" || path == "/health" || path == "/ready") return "GET";
  if (path.size() > kModelsPath.size() && path.substr(0, kModelsPath.size()) == kModelsPath) {
    return "GET";
  }
  return "";
}

ApiError NotServed(const std::string& path) {
  return {.http_status = 404,
          .message = absl::StrCat("no such path: ", Quoted(path),
                                  "; there are /v1/models, /v1/chat/completions, /v1/completions, "
                                  "/health and /ready"),
          .type = "invalid_request_error",
          .param = "",
          .code = "unknown_path"};
}

ApiError WrongMethod(const HttpRequest& request, const std::string& path,
                     std::string_view allowed) {
  return {.http_status = 405,
          .message = absl::StrCat(Quoted(request.method), " does not go with ", Quoted(path),
                                  "; use ", std::string(allowed)),
          .type = "invalid_request_error",
          .param = "",
          .code = "method_not_allowed"};
}

bool IsProbe(std::string_view path) { return path == "/health" || path == "/ready"; }

HttpReply NoKey() {
  HttpReply reply = ErrorReply({.http_status = 401,
                                .message = "no such API key; send one as \"Authorization: Bearer "
                                           "sk-...\"",
                                .type = "invalid_request_error",
                                .param = "",
                                .code = "invalid_api_key"});
  reply.fields.emplace_back("WWW-Authenticate", "Bearer");
  return reply;
}

// Seconds to wait, drawn so that refused clients do not come back all at once.
std::string RetryAfter() {
  std::random_device device;
  return absl::StrCat(1 + device() % 3);
}

}  // namespace

HttpReply ErrorReply(const ApiError& error) {
  HttpReply reply;
  reply.status = error.http_status;
  reply.body = ErrorBody(error);
  if (error.http_status == 503) reply.fields.emplace_back("Retry-After", RetryAfter());
  return reply;
}

HttpReply ErrorReply(const absl::Status& status) { return ErrorReply(ToApiError(status)); }

Api::Api(const Generate* generate, ServedModel model, std::function<bool()> is_ready,
         const ApiKeys* api_keys)
    : model_(std::move(model)),
      is_ready_(std::move(is_ready)),
      api_keys_(api_keys),
      chat_completions_(generate, &model_),
      completions_(generate, &model_),
      models_(&model_) {}

Reply Api::Handle(const HttpRequest& request) const {
  const std::string path = request.target.substr(0, request.target.find('?'));
  if (api_keys_ != nullptr && !IsProbe(path) && !api_keys_->Admit(request.authorization)) {
    return NoKey();
  }
  const std::string_view allowed = MethodOf(path);
  if (allowed.empty()) return ErrorReply(NotServed(path));
  if (request.method != allowed) {
    HttpReply reply = ErrorReply(WrongMethod(request, path, allowed));
    reply.fields.emplace_back("Allow", allowed);
    return reply;
  }
  return Route(path, request);
}

Reply Api::Route(const std::string& path, const HttpRequest& request) const {
  if (path == "/v1/chat/completions") return ToReply(chat_completions_.Handle(request.body));
  if (path == "/v1/completions") return ToReply(completions_.Handle(request.body));
  if (path == "/v1/models") return ToReply(absl::StatusOr<std::string>(models_.List()));
  if (path == "/health") return PlainReply(200, "ok");
  if (path == "/ready") {
    return is_ready_() ? PlainReply(200, "ok") : PlainReply(503, "not ready");
  }
  return ToReply(models_.Get(std::string_view(path).substr(kModelsPath.size())));
}

}  // namespace shoal
