#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace CLI {
class App;
}

namespace shoal {

class HttpServer;

// The port of a role's --ops-listen: /health says that the process turns, /ready whether it serves
// (S06). Plain HTTP without certificates, for probes.
class OpsServer {
 public:
  // `is_ready` is called by several threads. Null when `listen` is empty. InvalidArgument: not an
  // address; AlreadyExists: the port is taken.
  static absl::StatusOr<std::unique_ptr<OpsServer>> Start(const std::string& listen,
                                                          std::function<bool()> is_ready);
  ~OpsServer();  // Stops.

  uint16_t port() const;

 private:
  explicit OpsServer(std::unique_ptr<HttpServer> server);
  std::unique_ptr<HttpServer> server_;
};

// Adds --ops-listen to a role's command.
void AddOpsListenOption(CLI::App* command, std::string* listen);

}  // namespace shoal
