// Any bytes, as a request's head, as the body of a chat and as that of a completion: nothing may
// crash, what is accepted holds every bound, and a refusal is an error body that can be read. The
// first byte says which of the three it is. Seeds, real requests: tests/data/fuzz/request.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/limits.h"
#include "nlohmann/json.hpp"
#include "router/http/api_error.h"
#include "router/http/completion_request.h"
#include "router/http/head_check.h"

namespace shoal {
namespace {

using Json = nlohmann::ordered_json;

// How deep the brackets of `body` nest, those inside strings left out.
int Depth(std::string_view body) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < body.size(); ++i) {
    if (in_string) {
      if (body[i] == '\\') {
        ++i;
      } else if (body[i] == '"') {
        in_string = false;
      }
    } else if (body[i] == '"') {
      in_string = true;
    } else if (body[i] == '[' || body[i] == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (body[i] == ']' || body[i] == '}') {
      --depth;
    }
  }
  return deepest;
}

void CheckRefusal(const absl::Status& status) {
  const ApiError error = ToApiError(status);
  SHOAL_CHECK_EQ(error.http_status, 400);
  SHOAL_CHECK(!error.message.empty());
  const Json body = Json::parse(ErrorBody(error));
  SHOAL_CHECK(body["error"]["message"].is_string());
}

void CheckOptions(const CompletionOptions& options, std::string_view body) {
  SHOAL_CHECK_LE(Depth(body), kMaxJsonDepth);
  SHOAL_CHECK(!options.model.empty());
  SHOAL_CHECK(options.max_tokens >= 0 && options.max_tokens <= kMaxContext);
  SHOAL_CHECK(options.temperature >= 0 && options.temperature <= 2);
  SHOAL_CHECK(options.top_p > 0 && options.top_p <= 1);
  SHOAL_CHECK_LE(options.stop.size(), static_cast<size_t>(kMaxStopStrings));
  for (const std::string& stop : options.stop) {
    SHOAL_CHECK(!stop.empty() && stop.size() <= kMaxStopBytes);
  }
}

void FuzzChat(std::string_view body) {
  const auto request = ParseChatRequest(body);
  if (!request.ok()) return CheckRefusal(request.status());
  CheckOptions(request->options, body);
  const Json& messages = (*request->variables)["messages"];
  SHOAL_CHECK(messages.size() >= 1 && messages.size() <= size_t{kMaxMessages});
  for (const Json& message : messages) {
    SHOAL_CHECK(message["role"].is_string());
    SHOAL_CHECK(message["content"].is_string());
  }
  request->variables->dump();  // Throws where a string is not UTF-8.
}

void FuzzText(std::string_view body) {
  const auto request = ParseTextRequest(body);
  if (!request.ok()) return CheckRefusal(request.status());
  CheckOptions(request->options, body);
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&request->prompt)) {
    SHOAL_CHECK(std::all_of(ids->begin(), ids->end(), [](int32_t id) { return id >= 0; }));
  }
}

void FuzzHead(std::string_view bytes) {
  const size_t length = HeadLength(bytes);
  if (length == std::string_view::npos) return;
  SHOAL_CHECK(length > 0 && length <= bytes.size());
  const std::string_view head = bytes.substr(0, length);
  const absl::Status status = CheckHead(head);
  if (!status.ok()) return;
  SHOAL_CHECK(head.size() >= 4 && head.substr(head.size() - 4) == "\r\n\r\n");
  SHOAL_CHECK_EQ(head.find('\0'), std::string_view::npos);
  SHOAL_CHECK_LE(head.find("\r\n"), kMaxRequestLineBytes);
  int n_lines = 0;
  for (size_t i = 0; i < head.size(); ++i) {
    SHOAL_CHECK_EQ(head[i] == '\n', i > 0 && head[i - 1] == '\r');
    n_lines += head[i] == '\n';
  }
  SHOAL_CHECK_LE(n_lines, kMaxHeaderFields + 2);  // The request line and the empty one.
}

}  // namespace
}  // namespace shoal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      shoal::FuzzHead(rest);
      break;
    case 1:
      shoal::FuzzChat(rest);
      break;
    default:
      shoal::FuzzText(rest);
  }
  return 0;
}
