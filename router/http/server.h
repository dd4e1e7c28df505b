#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/limits.h"
#include "router/http/api.h"

namespace shoal {

struct ListenAddress {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;  // 0: any free one.
};

// Reads "127.0.0.1:8080" or "[::1]:8080". InvalidArgument for anything else.
absl::StatusOr<ListenAddress> ParseAnyAddress(std::string_view text);
// The same for the API: without keys nobody but this machine is let in, so that an address which is
// not loopback is refused (S07).
absl::StatusOr<ListenAddress> ParseListenAddress(std::string_view text, bool has_api_keys);

// The HTTP server: one thread, one coroutine a connection, a small pool that reads bodies and makes
// prompts of them. Its limits are those of FAILURE-MODEL S08, S10, S11 and F25 to F27.
class HttpServer {
 public:
  struct Options {
    std::chrono::milliseconds head_timeout{10'000};       // For a request's head.
    std::chrono::milliseconds body_timeout{30'000};       // For its body, at most.
    std::chrono::milliseconds body_grace{5'000};          // Then kMinBodyBytesPerSecond holds.
    std::chrono::milliseconds idle_timeout{60'000};       // Between two requests.
    std::chrono::milliseconds write_timeout{30'000};      // A client that does not read.
    std::chrono::milliseconds keep_alive_period{15'000};  // Comments in a silent stream.
    int max_connections = kMaxConnections;
    int max_connections_per_address = kMaxConnectionsPerAddress;
  };

  // Takes the port; AlreadyExists when another process has it. Clients that come before Start wait.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Listen(const ListenAddress& address,
                                                            Options options);
  static absl::StatusOr<std::unique_ptr<HttpServer>> Listen(const ListenAddress& address) {
    return Listen(address, Options());
  }
  // Stops.
  ~HttpServer();

  // What `handler` holds outlives this.
  void Start(HttpHandler handler);
  // Takes no more connections, lets replies under way end for at most a second, and joins. The
  // answers behind them should have been ended before.
  void Stop();

  uint16_t port() const;
  int n_connections() const;  // Open now. Thread-safe.

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal
