#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "cli/model_loader.h"
#include "cli/ops_server.h"
#include "cli/signals.h"
#include "proto/router_load.h"
#include "router/http/server.h"

namespace CLI {
class App;
}

namespace shoal {

// How a router answers; the options of `shoal router`, and of `shoal up`, which hands them on.
struct ServeOptions {
  ModelOptions model;
  std::string listen = "127.0.0.1:8080";
  std::string kv_type = "f16";
  std::string model_name;          // Empty: as the model says.
  std::string chat_template_path;  // Empty: the model's own template.
  std::string pre;                 // Pre-tokenizer; empty: the one that the model names.
  std::string ops_listen;          // Empty: no port for probes.
  std::string api_key_file;        // Empty: loopback only, and no keys.
};

// Adds them to `command`; `options` outlives the parse. A bad value is bad usage.
void AddServeOptions(CLI::App* command, ServeOptions* options);
// What shows before any work: an address beyond this machine without keys, a file that holds none.
absl::Status CheckServeOptions(const ServeOptions& options);

// Gets the URL and the model's name once requests are answered.
using OnReady = absl::FunctionRef<void(const std::string& url, const std::string& model)>;

// Takes the port, loads the model, and answers requests until SIGINT, which stops at once, or
// SIGTERM, which lets running answers end first.
absl::Status Serve(const ServeOptions& options, OnReady on_ready);

// Takes the port that options.listen says.
absl::StatusOr<std::unique_ptr<HttpServer>> ListenForRequests(const ServeOptions& options);

// A router's --ops-listen, which answers also while nothing is served yet.
class RouterProbes {
 public:
  // As OpsServer::Start; with an empty `listen` it answers nowhere. `add_more` (may be empty) adds
  // metrics that are there also while nothing is served.
  static absl::StatusOr<std::unique_ptr<RouterProbes>> Start(
      const std::string& listen, std::function<void(Metrics*)> add_more);
  ~RouterProbes();

  // What it did over the last few seconds, if it serves; called every second or so, by one thread.
  std::optional<RouterLoad> ReadLoad();

 private:
  friend absl::StatusOr<bool> ServeLoaded(const ServeOptions& options, LoadedModel& model,
                                          RouterProbes& probes, Signals& signals,
                                          const std::function<bool()>& beat, OnReady on_ready);
  class State;
  RouterProbes();

  std::unique_ptr<State> state_;
  std::unique_ptr<OpsServer> server_;  // Asks state_.
};

// Takes the port and answers requests by `model` until a signal as of Serve comes: true. `beat` is
// called every second; when it says false, running answers end and so does this: false.
absl::StatusOr<bool> ServeLoaded(const ServeOptions& options, LoadedModel& model,
                                 RouterProbes& probes, Signals& signals,
                                 const std::function<bool()>& beat, OnReady on_ready);

// Says on standard output where the API is and which model it serves, one line each. `shoal up`
// reads both from its router.
void PrintListening(const std::string& url, const std::string& model);
inline constexpr char kListeningPrefix[] = "listening on ";
inline constexpr char kServingPrefix[] = "serving ";

}  // namespace shoal
