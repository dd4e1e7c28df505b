#pragma once

#include <string>
#include <utility>  // Before Asio, whose coroutines use std::exchange without it.

#include "boost/asio/awaitable.hpp"
#include "boost/asio/thread_pool.hpp"
#include "boost/beast/core/tcp_stream.hpp"
#include "router/http/api.h"
#include "router/http/async_event.h"
#include "router/http/server.h"

namespace shoal {

// What all connections of a server share. Owned by the server's thread.
struct ServerContext {
  HttpHandler handler;
  boost::asio::thread_pool* pool = nullptr;
  HttpServer::Options options;
  bool stopping = false;
};

// One client's connection: a request, its reply, and so on. Owned by the server's thread.
class Connection {
 public:
  // `context` outlives this.
  Connection(boost::asio::ip::tcp::socket socket, ServerContext* context)
      : stream_(std::move(socket)), context_(context), watch_ended_(stream_.get_executor()) {}

  // Serves until the client goes, breaks a rule, or the server stops.
  boost::asio::awaitable<void> Run();
  // Closes the connection if it stands between two requests.
  void CloseIfIdle();

 private:
  // A request's head and body into `request`. False when there is none to serve: the client has
  // gone, was too slow, or has been answered with an error already.
  boost::asio::awaitable<bool> ReadRequest(HttpRequest* request);
  // The length of the next head, at the start of in_; 0 when the client went or was too slow.
  boost::asio::awaitable<size_t> ReadHead();
  template <typename Parser>
  boost::asio::awaitable<bool> ReadBody(Parser* parser);
  // Appends what comes next to in_; false at the end of input, on errors and when time is up.
  boost::asio::awaitable<bool> ReadSome();

  boost::asio::awaitable<std::variant<HttpReply, CompletionReply>> Handle(HttpRequest request);
  boost::asio::awaitable<bool> Write(HttpReply reply, bool head_only = false);
  // Refuses a request that was not read to its end: replies, then takes what still comes, so that
  // the client sees the reply and not a reset.
  boost::asio::awaitable<void> Refuse(ApiError error);

  // Follows the answer to its end; false when the client went away.
  boost::asio::awaitable<bool> Write(CompletionReply reply);
  boost::asio::awaitable<bool> WriteWhole(CompletionReply* reply, AsyncEvent* progress);
  boost::asio::awaitable<bool> WriteStream(CompletionReply* reply, AsyncEvent* progress);
  boost::asio::awaitable<bool> WriteStreamHead();
  boost::asio::awaitable<bool> WriteStreamPart(std::string events, bool last);
  // Reads ahead while a reply is written, to see the client go.
  boost::asio::awaitable<void> WatchClient(Generation* generation, AsyncEvent* progress);

  boost::beast::tcp_stream stream_;
  ServerContext* const context_;
  std::string in_;  // Received and not yet used.
  bool first_request_ = true;
  bool idle_ = false;
  bool keep_alive_ = true;
  unsigned http_version_ = 11;
  bool client_gone_ = false;
  bool watch_stopped_ = false;
  AsyncEvent watch_ended_;
};

}  // namespace shoal
