#include "router/http/connection.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "absl/strings/str_cat.h"
#include "boost/asio/buffer.hpp"
#include "boost/asio/co_spawn.hpp"
#include "boost/asio/detached.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/write.hpp"
#include "boost/beast/http.hpp"
#include "router/http/head_check.h"

namespace shoal {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr size_t kReadBytes = size_t{16} << 10;
constexpr size_t kMaxHeadBytes = kMaxRequestLineBytes + kMaxHeaderBytes;
constexpr size_t kMaxReadAheadBytes = kMaxHeadBytes;  // Of a next request while one is answered.
constexpr size_t kMaxDiscardedBytes = 4 * kMaxBodyBytes;
constexpr int kMinBodyBytesPerSecond = 1024;

auto Catch(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

ApiError BadRequest(int http_status, std::string message) {
  return {.http_status = http_status,
          .message = std::move(message),
          .type = "invalid_request_error",
          .param = "",
          .code = http_status == 413 ? "body_too_large" : "bad_request"};
}

ApiError HeadError(const absl::Status& status) {
  return BadRequest(status.code() == absl::StatusCode::kOutOfRange ? 431 : 400,
                    std::string(status.message()));
}

ApiError ParserError(const error_code& error) {
  if (error == http::error::body_limit) {
    return BadRequest(413, absl::StrCat("the body is larger than ", kMaxBodyBytes, " bytes"));
  }
  return BadRequest(400, absl::StrCat("malformed HTTP request: ", error.message()));
}

}  // namespace

asio::awaitable<void> Connection::Run() {
  // Awaits stand in statements of their own: gcc 12 miscompiles some that are conditions.
  HttpRequest request;
  while (true) {
    const bool received = co_await ReadRequest(&request);
    if (!received) break;
    const bool head_only = request.method == "HEAD";
    auto reply = co_await Handle(std::move(request));
    bool written = false;
    if (std::holds_alternative<CompletionReply>(reply)) {
      written = co_await Write(std::get<CompletionReply>(std::move(reply)));
    } else {
      written = co_await Write(std::get<HttpReply>(std::move(reply)), head_only);
    }
    if (!written || !keep_alive_ || context_->stopping) break;
  }
  error_code ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  stream_.close();
}

void Connection::CloseIfIdle() {
  if (idle_) stream_.close();
}

asio::awaitable<bool> Connection::ReadSome() {
  error_code error;
  const size_t n_before = in_.size();
  in_.resize(n_before + kReadBytes);
  const size_t n = co_await stream_.async_read_some(asio::buffer(in_.data() + n_before, kReadBytes),
                                                    Catch(error));
  in_.resize(n_before + n);
  co_return !error;
}

asio::awaitable<size_t> Connection::ReadHead() {
  const auto& options = context_->options;
  stream_.expires_after(first_request_ ? options.head_timeout : options.idle_timeout);
  if (in_.empty()) {
    idle_ = true;
    const bool received = co_await ReadSome();
    idle_ = false;
    if (!received) co_return 0;
  }
  first_request_ = false;
  stream_.expires_after(options.head_timeout);
  while (HeadLength(in_) == std::string::npos && in_.size() <= kMaxHeadBytes) {
    const bool received = co_await ReadSome();
    if (!received) co_return 0;
  }
  co_return std::min(HeadLength(in_), in_.size());
}

asio::awaitable<bool> Connection::ReadRequest(HttpRequest* request) {
  const size_t head_bytes = co_await ReadHead();
  if (head_bytes == 0) co_return false;
  if (const absl::Status head = CheckHead(std::string_view(in_).substr(0, head_bytes));
      !head.ok()) {
    co_await Refuse(HeadError(head));
    co_return false;
  }
  http::request_parser<http::string_body> parser;
  parser.eager(true);  // One put reads all that has come, not one chunk of it.
  parser.body_limit(kMaxBodyBytes);
  parser.header_limit(static_cast<uint32_t>(kMaxHeadBytes + 4));
  error_code error;
  in_.erase(0, parser.put(asio::buffer(in_.data(), head_bytes), error));
  if ((error && error != http::error::need_more) || !parser.is_header_done()) {
    co_await Refuse(ParserError(error));
    co_return false;
  }
  http_version_ = parser.get().version();
  keep_alive_ = parser.keep_alive();
  const bool complete = co_await ReadBody(&parser);
  if (!complete) co_return false;
  auto message = parser.release();
  *request = {.method = std::string(message.method_string()),
              .target = std::string(message.target()),
              .authorization = std::string(message[http::field::authorization]),
              .body = std::move(message.body())};
  co_return true;
}

template <typename Parser>
asio::awaitable<bool> Connection::ReadBody(Parser* parser) {
  error_code error;
  if (!parser->is_done() && in_.empty() &&
      boost::beast::iequals(parser->get()[http::field::expect], "100-continue")) {
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    stream_.expires_after(context_->options.write_timeout);
    co_await asio::async_write(stream_, asio::buffer(kContinue), Catch(error));
    if (error) co_return false;
  }
  const auto begin = Clock::now();
  size_t n_received = in_.size();
  while (!parser->is_done()) {
    in_.erase(0, parser->put(asio::buffer(in_), error));
    if (error && error != http::error::need_more) {
      co_await Refuse(ParserError(error));
      co_return false;
    }
    if (parser->is_done()) break;
    // What is left is a chunk's head or a trailer that has no end yet; neither counts as body.
    if (in_.size() > kMaxHeadBytes) error = http::error::bad_chunk_extension;
    if (n_received > 2 * kMaxBodyBytes) error = http::error::body_limit;
    if (error && error != http::error::need_more) {
      co_await Refuse(ParserError(error));
      co_return false;
    }
    // The moment at which what has come would be less than the least rate.
    const auto due = std::chrono::milliseconds(n_received * 1000 / kMinBodyBytesPerSecond);
    const auto& options = context_->options;
    stream_.expires_at(begin +
                       std::min<Clock::duration>(std::max<Clock::duration>(options.body_grace, due),
                                                 options.body_timeout));
    const size_t n_before = in_.size();
    const bool received = co_await ReadSome();
    if (!received) co_return false;
    n_received += in_.size() - n_before;
  }
  co_return true;
}

asio::awaitable<std::variant<HttpReply, CompletionReply>> Connection::Handle(HttpRequest request) {
  const auto executor = stream_.get_executor();
  AsyncEvent done(executor);
  std::optional<std::variant<HttpReply, CompletionReply>> reply;
  asio::post(*context_->pool, [this, &request, &reply, &done, executor] {
    reply.emplace(context_->handler(request));
    asio::post(executor, [&done] { done.Set(); });
  });
  co_await done.Wait();
  co_return std::move(*reply);
}

asio::awaitable<bool> Connection::Write(HttpReply reply, bool head_only) {
  http::response<http::string_body> response(static_cast<http::status>(reply.status),
                                             http_version_);
  response.set(http::field::content_type, reply.content_type);
  for (const auto& [name, value] : reply.fields) response.set(name, value);
  response.keep_alive(keep_alive_ && !context_->stopping);
  response.body() = std::move(reply.body);
  response.prepare_payload();
  error_code error;
  stream_.expires_after(context_->options.write_timeout);
  if (head_only) {
    http::response_serializer<http::string_body> serializer(response);
    co_await http::async_write_header(stream_, serializer, Catch(error));
  } else {
    co_await http::async_write(stream_, response, Catch(error));
  }
  co_return !error;
}

asio::awaitable<void> Connection::Refuse(ApiError error) {
  keep_alive_ = false;
  const bool written = co_await Write(ErrorReply(error));
  if (!written) co_return;
  error_code ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  stream_.expires_after(context_->options.head_timeout);
  size_t n_discarded = 0;
  bool received = true;
  while (received && n_discarded < kMaxDiscardedBytes) {
    n_discarded += in_.size();
    in_.clear();
    received = co_await ReadSome();
  }
}

asio::awaitable<bool> Connection::Write(CompletionReply reply) {
  const auto executor = stream_.get_executor();
  const auto progress = std::make_shared<AsyncEvent>(executor);
  const std::shared_ptr<Generation> generation = reply.generation;
  stream_.expires_never();
  watch_stopped_ = false;
  asio::co_spawn(executor, WatchClient(generation.get(), progress.get()), asio::detached);
  generation->SetOnProgress(
      [executor, progress] { asio::post(executor, [progress] { progress->Set(); }); });
  bool written = false;
  if (reply.stream) {
    written = co_await WriteStream(&reply, progress.get());
  } else {
    written = co_await WriteWhole(&reply, progress.get());
  }
  generation->SetOnProgress(nullptr);
  if (!written) generation->Cancel();
  watch_stopped_ = true;
  stream_.cancel();
  co_await watch_ended_.Wait();
  co_return written && !client_gone_;
}

asio::awaitable<void> Connection::WatchClient(Generation* generation, AsyncEvent* progress) {
  while (!watch_stopped_ && in_.size() < kMaxReadAheadBytes) {
    const bool received = co_await ReadSome();
    if (received) continue;
    if (watch_stopped_) break;
    client_gone_ = true;
    generation->Cancel();
    progress->Set();
    break;
  }
  watch_ended_.Set();
}

asio::awaitable<bool> Connection::WriteWhole(CompletionReply* reply, AsyncEvent* progress) {
  std::string text;
  Generation::Progress taken;
  while (!taken.finished) {
    co_await progress->Wait();
    if (client_gone_) co_return false;
    taken = reply->generation->Take();
    text += taken.text;
  }
  HttpReply whole;
  if (taken.status.ok()) {
    whole.body = FullReply(reply->head, text, taken.reason, taken.n_tokens);
  } else {
    whole = ErrorReply(taken.status);
  }
  const bool written = co_await Write(std::move(whole));
  co_return written;
}

asio::awaitable<bool> Connection::WriteStream(CompletionReply* reply, AsyncEvent* progress) {
  bool started = false;
  while (true) {
    const bool woken = co_await progress->WaitFor(context_->options.keep_alive_period);
    if (client_gone_) co_return false;
    const Generation::Progress taken = reply->generation->Take();
    const bool failed = taken.finished && !taken.status.ok();
    std::string events;
    if (!started) {
      if (failed) {
        const bool refused = co_await Write(ErrorReply(taken.status));
        co_return refused;
      }
      const bool begun = co_await WriteStreamHead();
      if (!begun) co_return false;
      events = FirstEvent(reply->head);
      started = true;
    }
    if (!taken.text.empty()) events += TextEvent(reply->head, taken.text);
    if (failed) events += ErrorEvent(taken.status);
    if (taken.finished && !failed) events += LastEvents(reply->head, taken.reason, taken.n_tokens);
    if (!woken) events += KeepAliveEvent();
    const bool written = co_await WriteStreamPart(std::move(events), taken.finished);
    if (!written) co_return false;
    if (taken.finished) co_return !failed;
  }
}

asio::awaitable<bool> Connection::WriteStreamHead() {
  http::response<http::empty_body> response(http::status::ok, http_version_);
  response.set(http::field::content_type, "text/event-stream");
  response.set(http::field::cache_control, "no-cache");
  if (http_version_ < 11)
    keep_alive_ = false;  // The end of the stream is the end of the connection.
  response.keep_alive(keep_alive_ && !context_->stopping);
  response.chunked(http_version_ >= 11);
  http::response_serializer<http::empty_body> serializer(response);
  error_code error;
  stream_.expires_after(context_->options.write_timeout);
  co_await http::async_write_header(stream_, serializer, Catch(error));
  co_return !error;
}

asio::awaitable<bool> Connection::WriteStreamPart(std::string events, bool last) {
  error_code error;
  stream_.expires_after(context_->options.write_timeout);
  if (http_version_ < 11) {
    co_await asio::async_write(stream_, asio::buffer(events), Catch(error));
    co_return !error;
  }
  if (!events.empty()) {
    co_await asio::async_write(stream_, http::make_chunk(asio::buffer(events)), Catch(error));
  }
  if (!error && last) co_await asio::async_write(stream_, http::make_chunk_last(), Catch(error));
  co_return !error;
}

}  // namespace shoal
