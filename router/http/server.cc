#include "router/http/server.h"

#include <atomic>
#include <map>
#include <set>
#include <thread>
#include <utility>  // Before Asio, whose coroutines use std::exchange without it.

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "boost/asio/co_spawn.hpp"
#include "boost/asio/detached.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/thread_pool.hpp"
#include "router/http/connection.h"

namespace shoal {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr int kPoolThreads = 2;  // Reading a body of 4 MiB takes about 50 ms.
constexpr auto kAcceptPause = std::chrono::milliseconds(100);  // When descriptors have run out.
constexpr auto kStopPatience = std::chrono::seconds(1);

}  // namespace

absl::StatusOr<ListenAddress> ParseAnyAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  const auto wrong = [&text](std::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("listen address ", std::string(text), ": ", std::string(why)));
  };
  int port = 0;
  if (colon == std::string_view::npos ||
      !absl::SimpleAtoi(std::string(text.substr(colon + 1)), &port) || port < 0 || port > 65535) {
    return wrong("expected ADDRESS:PORT with a port of 0 to 65535, like 127.0.0.1:8080");
  }
  std::string host(text.substr(0, colon));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  error_code error;
  const auto address = asio::ip::make_address(host == "localhost" ? "127.0.0.1" : host, error);
  if (error) return wrong("not an IP address");
  return ListenAddress{address.to_string(), static_cast<uint16_t>(port)};
}

absl::StatusOr<ListenAddress> ParseListenAddress(std::string_view text, bool has_api_keys) {
  absl::StatusOr<ListenAddress> address = ParseAnyAddress(text);
  if (!address.ok() || has_api_keys || asio::ip::make_address(address->host).is_loopback()) {
    return address;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "listen address ", std::string(text),
      ": not a loopback address, and without keys anyone who reaches it could use it; make one "
      "with `shoal key create` and give --api-key-file, or listen on 127.0.0.1"));
}

struct HttpServer::Impl {
  explicit Impl(Options options) : acceptor(io) {
    context.pool = &pool;
    context.options = options;
  }

  absl::Status Listen(const ListenAddress& address);
  asio::awaitable<void> AcceptAll();
  asio::awaitable<void> Serve(tcp::socket socket, std::string address);
  void BeginStop();

  // Coroutines that are still suspended end with `io`, and use what stands above it.
  ServerContext context;
  std::set<Connection*> connections;  // The server's thread, as is per_address.
  std::map<std::string, int> per_address;
  std::atomic<int> n_connections{0};
  asio::io_context io{1};
  asio::thread_pool pool{kPoolThreads};
  tcp::acceptor acceptor;
  std::thread thread;
};

absl::Status HttpServer::Impl::Listen(const ListenAddress& address) {
  const tcp::endpoint endpoint(asio::ip::make_address(address.host), address.port);
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (!error) return absl::OkStatus();
  const std::string where = absl::StrCat(address.host, ":", address.port);
  if (error == asio::error::address_in_use) {
    return absl::AlreadyExistsError(absl::StrCat(
        where, " is taken by another process; stop that one or choose another with --listen"));
  }
  return absl::UnavailableError(absl::StrCat("cannot listen on ", where, ": ", error.message()));
}

asio::awaitable<void> HttpServer::Impl::AcceptAll() {
  while (!context.stopping) {
    error_code error;
    tcp::socket socket =
        co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (context.stopping) co_return;
    if (error) {
      Log(LogLevel::kWarning, "accept_failed", {{"reason", error.message()}});
      AsyncEvent pause(io.get_executor());
      co_await pause.WaitFor(kAcceptPause);
      continue;
    }
    const auto peer = socket.remote_endpoint(error);
    if (error) continue;
    const std::string address = peer.address().to_string();
    if (n_connections >= context.options.max_connections ||
        per_address[address] >= context.options.max_connections_per_address) {
      continue;  // Closed by going out of scope.
    }
    socket.set_option(tcp::no_delay(true), error);
    asio::co_spawn(io, Serve(std::move(socket), address), [](std::exception_ptr failure) {
      if (failure) Log(LogLevel::kError, "connection_failed");
    });
  }
}

asio::awaitable<void> HttpServer::Impl::Serve(tcp::socket socket, std::string address) {
  // Counts the connection for as long as the coroutine lives, however it ends.
  struct Counted {
    Counted(Impl* impl, std::string address, Connection* connection)
        : impl(impl), address(std::move(address)), connection(connection) {
      impl->connections.insert(connection);
      ++impl->n_connections;
      ++impl->per_address[this->address];
    }
    ~Counted() {
      impl->connections.erase(connection);
      --impl->n_connections;
      if (--impl->per_address[address] == 0) impl->per_address.erase(address);
    }
    Impl* impl;
    std::string address;
    Connection* connection;
  };
  Connection connection(std::move(socket), &context);
  const Counted counted(this, std::move(address), &connection);
  co_await connection.Run();
  if (context.stopping && n_connections == 1) io.stop();
}

void HttpServer::Impl::BeginStop() {
  context.stopping = true;
  error_code ignored;
  acceptor.close(ignored);
  for (Connection* connection : connections) connection->CloseIfIdle();
  if (connections.empty()) return io.stop();
  auto patience = std::make_shared<asio::steady_timer>(io, kStopPatience);
  patience->async_wait([this, patience](error_code) { io.stop(); });
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Listen(const ListenAddress& address,
                                                               Options options) {
  auto impl = std::make_unique<Impl>(options);
  SHOAL_RETURN_IF_ERROR(impl->Listen(address));
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() { Stop(); }

void HttpServer::Start(HttpHandler handler) {
  impl_->context.handler = std::move(handler);
  asio::co_spawn(impl_->io, impl_->AcceptAll(), asio::detached);
  impl_->thread = std::thread([this] { impl_->io.run(); });
}

void HttpServer::Stop() {
  if (!impl_->thread.joinable()) return;
  asio::post(impl_->io, [this] { impl_->BeginStop(); });
  impl_->thread.join();
  impl_->pool.join();
}

uint16_t HttpServer::port() const {
  error_code ignored;
  return impl_->acceptor.local_endpoint(ignored).port();
}

int HttpServer::n_connections() const { return impl_->n_connections; }

}  // namespace shoal
