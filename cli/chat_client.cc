#include "cli/chat_client.h"

#include <poll.h>

#include <limits>
#include <utility>  // Before Asio, which uses std::exchange without it.

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "boost/asio/connect.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/beast/core/flat_buffer.hpp"
#include "boost/beast/http.hpp"
#include "nlohmann/json.hpp"

namespace shoal {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Json = nlohmann::json;

constexpr std::string_view kScheme = "http://";
constexpr std::string_view kData = "data: ";

// One request and its reply as it comes.
class Call {
 public:
  absl::Status Send(const std::string& url, const std::string& host, const std::string& port,
                    const http::request<http::string_body>& request) {
    error_code error;
    tcp::resolver resolver(io_);
    const auto endpoints = resolver.resolve(host, port, error);
    if (!error) asio::connect(socket_, endpoints, error);
    if (!error) http::write(socket_, request, error);
    parser_.body_limit(
        std::numeric_limits<uint64_t>::max());  // An answer is as long as the context allows.
    if (!error) http::read_header(socket_, buffer_, parser_, error);
    if (!error) return absl::OkStatus();
    return absl::UnavailableError(
        absl::StrCat("no answer from ", url, ": ", error.message(), "; is `shoal up` running?"));
  }

  unsigned status() const { return parser_.get().result_int(); }
  bool done() const { return parser_.is_done(); }

  // The next piece of the body; empty at its end, or once `interrupt_fd` is readable.
  absl::StatusOr<std::string> Next(int interrupt_fd, bool* interrupted) {
    while (!parser_.is_done() && parser_.get().body().empty()) {
      if (buffer_.size() == 0 && !WaitForBytes(interrupt_fd)) {
        *interrupted = true;
        return std::string();
      }
      error_code error;
      http::read_some(socket_, buffer_, parser_, error);
      if (error && error != http::error::need_more) {
        return absl::UnavailableError(absl::StrCat("the answer broke off: ", error.message()));
      }
    }
    return std::exchange(parser_.get().body(), std::string());
  }

  absl::StatusOr<std::string> Rest() {
    std::string body;
    bool interrupted = false;
    while (true) {
      SHOAL_ASSIGN_OR_RETURN(const std::string piece, Next(-1, &interrupted));
      if (piece.empty()) return body;
      body += piece;
    }
  }

 private:
  // False when the interruption came first.
  bool WaitForBytes(int interrupt_fd) {
    pollfd entries[2] = {{.fd = socket_.native_handle(), .events = POLLIN, .revents = 0},
                         {.fd = interrupt_fd, .events = POLLIN, .revents = 0}};
    while (poll(entries, 2, -1) < 0) {
    }
    return entries[1].revents == 0;
  }

  asio::io_context io_;
  tcp::socket socket_{io_};
  boost::beast::flat_buffer buffer_;
  http::response_parser<http::string_body> parser_;
};

// What the server says in an error body.
absl::Status ErrorOf(unsigned http_status, const std::string& body) {
  const Json json = Json::parse(body, nullptr, false);
  if (json.is_object() && json.contains("error") && json["error"].is_object()) {
    return absl::UnknownError(json["error"].value("message", "an error without a message"));
  }
  return absl::UnknownError(absl::StrCat("the server answered ", http_status));
}

// Hands on the text of one event; true when it was the last.
absl::StatusOr<bool> HandleEvent(std::string_view event,
                                 absl::FunctionRef<void(std::string_view)> on_text) {
  if (event.substr(0, kData.size()) != kData) return false;  // A comment.
  event.remove_prefix(kData.size());
  if (event == "[DONE]") return true;
  const Json json = Json::parse(event, nullptr, false);
  if (!json.is_object()) return absl::DataLossError("the server sent an event that is not JSON");
  if (json.contains("error")) return ErrorOf(500, json.dump());
  const Json::json_pointer content("/choices/0/delta/content");
  if (json.contains(content) && json[content].is_string()) {
    on_text(json[content].get_ref<const std::string&>());
  }
  return false;
}

http::request<http::string_body> Request(http::verb verb, const char* target,
                                         const std::string& host, const std::string& api_key) {
  http::request<http::string_body> request(verb, target, 11);
  request.set(http::field::host, host);
  request.keep_alive(false);
  if (!api_key.empty()) request.set(http::field::authorization, absl::StrCat("Bearer ", api_key));
  return request;
}

}  // namespace

absl::StatusOr<ChatClient> ChatClient::Create(const std::string& url, const std::string& api_key) {
  std::string_view rest(url);
  if (rest.substr(0, kScheme.size()) == kScheme) {
    rest.remove_prefix(kScheme.size());
    while (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);
    const size_t colon = rest.rfind(':');
    if (colon != std::string_view::npos && colon > 0 && colon + 1 < rest.size() &&
        rest.find('/') == std::string_view::npos) {
      return ChatClient(url, std::string(rest.substr(0, colon)),
                        std::string(rest.substr(colon + 1)), api_key);
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--url: ", url, " is not like http://127.0.0.1:8080"));
}

absl::StatusOr<std::string> ChatClient::FirstModel() const {
  Call call;
  SHOAL_RETURN_IF_ERROR(
      call.Send(url_, host_, port_, Request(http::verb::get, "/v1/models", host_, api_key_)));
  SHOAL_ASSIGN_OR_RETURN(const std::string body, call.Rest());
  if (call.status() != 200) return ErrorOf(call.status(), body);
  const Json json = Json::parse(body, nullptr, false);
  const Json::json_pointer id("/data/0/id");
  if (!json.is_object() || !json.contains(id) || !json[id].is_string()) {
    return absl::DataLossError(absl::StrCat(url_, "/v1/models names no model"));
  }
  return json[id].get<std::string>();
}

absl::StatusOr<ChatClient::End> ChatClient::Stream(
    const std::string& request_json, int interrupt_fd,
    absl::FunctionRef<void(std::string_view)> on_text) const {
  auto request = Request(http::verb::post, "/v1/chat/completions", host_, api_key_);
  request.set(http::field::content_type, "application/json");
  request.body() = request_json;
  request.prepare_payload();
  Call call;
  SHOAL_RETURN_IF_ERROR(call.Send(url_, host_, port_, request));
  if (call.status() != 200) {
    SHOAL_ASSIGN_OR_RETURN(const std::string body, call.Rest());
    return ErrorOf(call.status(), body);
  }
  std::string received;
  bool interrupted = false;
  while (true) {
    SHOAL_ASSIGN_OR_RETURN(const std::string piece, call.Next(interrupt_fd, &interrupted));
    if (interrupted) return End::kInterrupted;
    if (piece.empty()) return absl::DataLossError("the answer ended without its last event");
    received += piece;
    for (size_t end; (end = received.find("\n\n")) != std::string::npos;) {
      const std::string event = received.substr(0, end);
      received.erase(0, end + 2);
      SHOAL_ASSIGN_OR_RETURN(const bool last, HandleEvent(event, on_text));
      if (last) return End::kFinished;
    }
  }
}

}  // namespace shoal
