#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/metrics.h"

namespace CLI {
class App;
}

namespace shoal {

class HttpServer;

// The port of a role's --ops-listen: /health says that the process turns, /ready whether it serves
// (S06), /metrics what it counts. Plain HTTP without certificates, for probes.
class OpsServer {
 public:
  struct Sources {  // Each is called by several threads.
    std::function<bool()> is_ready;
    std::function<std::vector<Metric>()> metrics;
  };
  // Null when `listen` is empty. InvalidArgument: not an address; AlreadyExists: the port is taken.
  static absl::StatusOr<std::unique_ptr<OpsServer>> Start(const std::string& listen,
                                                          Sources sources);
  ~OpsServer();  // Stops.

  uint16_t port() const;

 private:
  explicit OpsServer(std::unique_ptr<HttpServer> server);
  std::unique_ptr<HttpServer> server_;
};

// Adds --ops-listen to a role's command.
void AddOpsListenOption(CLI::App* command, std::string* listen);

}  // namespace shoal
