#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "router/generate.h"
#include "router/http/api_error.h"
#include "router/http/api_keys.h"
#include "router/http/chat_completions.h"
#include "router/http/completion_reply.h"
#include "router/http/completions.h"
#include "router/http/models.h"
#include "router/http/served_model.h"

namespace shoal {

// A request as the server hands it over: its head was checked and its body is complete.
struct HttpRequest {
  std::string method;
  std::string target;         // Path, perhaps with a query.
  std::string authorization;  // That field; empty without one.
  std::string body;
};

// A whole reply.
struct HttpReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> fields;  // More header fields.
};

HttpReply ErrorReply(const ApiError& error);
HttpReply ErrorReply(const absl::Status& status);

// Whatever answers requests: a whole reply, or an answer under way. Called by several threads.
using HttpHandler = std::function<std::variant<HttpReply, CompletionReply>(const HttpRequest&)>;

// The table of paths. Knows nothing of sockets. Thread-safe.
class Api {
 public:
  // `is_ready` says whether new answers are taken; any thread may call it. Without `api_keys`
  // whoever asks is answered; with them everything but /health and /ready needs one. `generate` and
  // `api_keys` outlive this.
  Api(const Generate* generate, ServedModel model, std::function<bool()> is_ready,
      const ApiKeys* api_keys);

  // Either a whole reply, or an answer under way.
  std::variant<HttpReply, CompletionReply> Handle(const HttpRequest& request) const;

 private:
  std::variant<HttpReply, CompletionReply> Route(const std::string& path,
                                                 const HttpRequest& request) const;

  const ServedModel model_;
  const std::function<bool()> is_ready_;
  const ApiKeys* const api_keys_;
  const ChatCompletions chat_completions_;
  const Completions completions_;
  const Models models_;
};

}  // namespace shoal
