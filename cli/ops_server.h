#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/metrics.h"

namespace CLI {
class App;
}

namespace shoal {

class HttpServer;

// The port of a role's --ops-listen: /health says that the process turns, /ready whether it serves
// (S06), /metrics what it counts (docs/metrics.md), /status what it knows, as JSON. Plain HTTP
// without certificates, for probes; /healthz and /readyz are the first two by their other names.
class OpsServer {
 public:
  struct Sources {  // Each is called by several threads.
    std::function<bool()> is_ready;
    std::function<void(Metrics*)> add_metrics;  // To those that every process has.
    std::function<std::string()> status = {};   // Empty: there is none.
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
